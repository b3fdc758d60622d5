/*
 * A recorder for power cuts: every change that a process tree makes to the files below POWER_ROOT is
 * appended to the file POWER_LOG, in the order in which the changes were done. What a power cut would
 * have left at any moment is computed from the log (src/power/disk.rs); so nothing is held back, and
 * no fsync needs to reach the disk.
 *
 * Changes that the log has no words for are recorded as such, and the reader refuses them. Files
 * called *-shm are left out: SQLite maps them, and makes them anew after a crash. System calls are
 * made directly, so there is no other library to find.
 */
#include "record.h"

#define LAYER __attribute__((visibility("default")))

static int do_open(int directory, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    struct stat before, after;
    int inside = resolve(directory, path, name);
    if (!inside) {
        int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
        /* Another file may have got the inode of one of ours. */
        if (fd >= 0 && begin_change(fd, &after)) {
            forget(after.st_ino);
            end_change();
        }
        return fd;
    }
    pthread_mutex_lock(&order);
    int was_there = fstatat(directory, path, &before, 0) == 0;
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (fd >= 0 && is_regular(fd, &after)) {
        *slot(after.st_ino) = after.st_ino;
        if ((flags & O_TMPFILE) == O_TMPFILE) note(UNKNOWN, 0, 0, "O_TMPFILE", NULL);
        else if (!was_there) note(CREATE, after.st_ino, after.st_mode & 07777, name, NULL);
        else if (flags & O_TRUNC && before.st_size > 0) note(TRUNCATE, after.st_ino, 0, NULL, NULL);
    }
    end_change();
    return fd;
}

#define OPEN(NAME, DIRECTORY, ...)                                                                 \
    LAYER int NAME(__VA_ARGS__ const char *path, int flags, ...) {                                 \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
        va_end(rest);                                                                              \
        return do_open(DIRECTORY, path, flags, mode);                                              \
    }
#define ONE_MORE int directory,
OPEN(open, AT_FDCWD, )
OPEN(open64, AT_FDCWD, )
OPEN(openat, directory, ONE_MORE)
OPEN(openat64, directory, ONE_MORE)
LAYER int creat(const char *path, mode_t mode) {
    return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* The descriptor's own position, or -1 where `offset` says it. */
static ssize_t do_write(int fd, const struct iovec *parts, int count, off_t offset) {
    struct stat found;
    int is_known = begin_change(fd, &found);
    if (!is_known) speak(fd);
    ssize_t written = offset < 0 ? syscall(SYS_writev, fd, parts, count)
                                 : syscall(SYS_pwritev, fd, parts, count, offset, 0);
    if (!is_known) return written;
    if (written > 0) {
        int saved = errno;
        off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) - written : offset;
        if (count > 64) note(UNKNOWN, 0, 0, "a write of more than 64 parts", NULL);
        else append(WRITE, found.st_ino, (uint64_t)at, NULL, NULL, parts, count, (size_t)written);
        errno = saved;
    }
    end_change();
    return written;
}

LAYER ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    return do_write(fd, &part, 1, -1);
}
LAYER ssize_t writev(int fd, const struct iovec *parts, int count) {
    return do_write(fd, parts, count, -1);
}
#define PWRITE(NAME, OFFSET)                                                                       \
    LAYER ssize_t NAME(int fd, const void *bytes, size_t length, OFFSET offset) {                  \
        struct iovec part = {(void *)bytes, length};                                               \
        return do_write(fd, &part, 1, offset);                                                     \
    }
#define PWRITEV(NAME, OFFSET)                                                                      \
    LAYER ssize_t NAME(int fd, const struct iovec *parts, int count, OFFSET offset) {              \
        return do_write(fd, parts, count, offset);                                                 \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

static int do_truncate(int fd, off_t length) {
    struct stat found;
    int is_known = begin_change(fd, &found);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (!is_known) return done;
    if (done == 0) note(TRUNCATE, found.st_ino, (uint64_t)length, NULL, NULL);
    end_change();
    return done;
}
LAYER int ftruncate(int fd, off_t length) { return do_truncate(fd, length); }
LAYER int ftruncate64(int fd, off64_t length) { return do_truncate(fd, length); }

static int do_sync(int fd, long number) {
    struct stat found;
    if (!begin_change(fd, &found)) return (int)syscall(number, fd);
    note(SYNC, found.st_ino, 0, NULL, NULL);
    end_change();
    return 0;
}
LAYER int fsync(int fd) { return do_sync(fd, SYS_fsync); }
LAYER int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

static void sync_all(void) {
    if (log_fd < 0) return;
    pthread_mutex_lock(&order);
    note(SYNC_ALL, 0, 0, NULL, NULL);
    end_change();
}
LAYER int syncfs(int fd) { (void)fd; return sync_all(), 0; }
LAYER void sync(void) { sync_all(); }

LAYER ssize_t sendto(int fd, const void *bytes, size_t length, int flags,
                     const struct sockaddr *to, socklen_t to_length) {
    speak(fd);
    return syscall(SYS_sendto, fd, bytes, length, flags, to, to_length);
}
LAYER ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    return sendto(fd, bytes, length, flags, NULL, 0);
}
LAYER ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    speak(fd);
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* One name, or two, of which both are below the root or none. */
static int do_two(enum kind kind, int from_at, const char *from, int to_at, const char *to,
                  long number, unsigned flags) {
    char first[PATH_MAX], second[PATH_MAX];
    int in_from = resolve(from_at, from, first), in_to = resolve(to_at, to, second);
    if (!in_from && !in_to) return (int)syscall(number, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&order);
    int done = (int)syscall(number, from_at, from, to_at, to, flags);
    int saved = errno;
    if (done == 0) {
        int is_known = in_from && in_to && (kind == LINK || flags <= 1 /* RENAME_NOREPLACE */);
        if (is_known) note(kind, 0, 0, first, second);
        else note(UNKNOWN, 0, 0, in_from ? first : second, NULL);
    }
    errno = saved;
    end_change();
    return done;
}
LAYER int rename(const char *from, const char *to) {
    return do_two(RENAME, AT_FDCWD, from, AT_FDCWD, to, SYS_renameat2, 0);
}
LAYER int renameat(int from_at, const char *from, int to_at, const char *to) {
    return do_two(RENAME, from_at, from, to_at, to, SYS_renameat2, 0);
}
LAYER int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return do_two(RENAME, from_at, from, to_at, to, SYS_renameat2, flags);
}
LAYER int link(const char *from, const char *to) {
    return do_two(LINK, AT_FDCWD, from, AT_FDCWD, to, SYS_linkat, 0);
}
LAYER int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    return do_two(LINK, from_at, from, to_at, to, SYS_linkat, (unsigned)flags);
}

static int do_remove(int directory, const char *path, int flags) {
    char name[PATH_MAX];
    if (!resolve(directory, path, name)) return (int)syscall(SYS_unlinkat, directory, path, flags);
    pthread_mutex_lock(&order);
    int done = (int)syscall(SYS_unlinkat, directory, path, flags);
    if (done == 0) note(REMOVE, 0, 0, name, NULL);
    end_change();
    return done;
}
LAYER int unlink(const char *path) { return do_remove(AT_FDCWD, path, 0); }
LAYER int rmdir(const char *path) { return do_remove(AT_FDCWD, path, AT_REMOVEDIR); }
LAYER int unlinkat(int directory, const char *path, int flags) {
    return do_remove(directory, path, flags);
}

LAYER int mkdirat(int directory, const char *path, mode_t mode) {
    char name[PATH_MAX];
    struct stat made;
    if (!resolve(directory, path, name)) return (int)syscall(SYS_mkdirat, directory, path, mode);
    pthread_mutex_lock(&order);
    int done = (int)syscall(SYS_mkdirat, directory, path, mode);
    if (done == 0 && fstatat(directory, path, &made, 0) == 0)
        note(MAKE_DIRECTORY, made.st_ino, made.st_mode & 07777, name, NULL);
    end_change();
    return done;
}
LAYER int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* What the log has no words for: refused, where callers have another way, or recorded as such. */
LAYER ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length,
                              unsigned flags) {
    struct stat found;
    if (!begin_change(out, &found))
        return syscall(SYS_copy_file_range, in, in_at, out, out_at, length, flags);
    end_change();
    return errno = ENOSYS, -1;
}
static ssize_t do_sendfile(int out, int in, off_t *offset, size_t length) {
    struct stat found;
    if (!begin_change(out, &found)) return syscall(SYS_sendfile, out, in, offset, length);
    end_change();
    return errno = EINVAL, -1;
}
LAYER ssize_t sendfile(int out, int in, off_t *offset, size_t length) {
    return do_sendfile(out, in, offset, length);
}
LAYER ssize_t sendfile64(int out, int in, off64_t *offset, size_t length) {
    return do_sendfile(out, in, offset, length);
}
LAYER int fallocate(int fd, int mode, off_t offset, off_t length) {
    struct stat found;
    if (!begin_change(fd, &found)) return (int)syscall(SYS_fallocate, fd, mode, offset, length);
    end_change();
    return errno = EOPNOTSUPP, -1;
}
LAYER int symlinkat(const char *target, int directory, const char *path) {
    char name[PATH_MAX];
    if (resolve(directory, path, name)) return errno = EPERM, -1;
    return (int)syscall(SYS_symlinkat, target, directory, path);
}
LAYER int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

static void *do_map(void *at, size_t length, int allowed, int flags, int fd, off_t offset) {
    struct stat found;
    int is_written = fd >= 0 && allowed & PROT_WRITE && flags & MAP_SHARED;
    if (is_written && begin_change(fd, &found)) {
        note(UNKNOWN, found.st_ino, 0, "a mapping that is written to", NULL);
        end_change();
    }
    return (void *)syscall(SYS_mmap, at, length, allowed, flags, fd, offset);
}
LAYER void *mmap(void *at, size_t length, int allowed, int flags, int fd, off_t offset) {
    return do_map(at, length, allowed, flags, fd, offset);
}
LAYER void *mmap64(void *at, size_t length, int allowed, int flags, int fd, off64_t offset) {
    return do_map(at, length, allowed, flags, fd, offset);
}
