/*
 * The recorder's log, and which files it is about.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define TRACKED_MAX 65536 /* a power of two */

enum kind {
    CREATE = 1, /* first: path, inode, offset: mode */
    WRITE,      /* inode, offset, payload */
    TRUNCATE,   /* inode, offset: length */
    SYNC,       /* inode: a file or a directory */
    SYNC_ALL,
    MAKE_DIRECTORY, /* first, inode, offset: mode */
    RENAME,         /* first, second */
    LINK,           /* first, second */
    REMOVE,         /* first: a name of a file, or an empty directory */
    SPEAK,          /* something is about to be sent to somebody */
    UNKNOWN         /* first: what was done */
};

struct header {
    uint32_t kind, first, second, payload;
    uint64_t inode, offset;
};

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_length;
static dev_t device;
static ino_t tracked[TRACKED_MAX];
static unsigned long notes, notes_max; /* after which the process is killed; 0: never */

__attribute__((constructor)) static void begin(void) {
    const char *named = getenv("POWER_ROOT"), *log = getenv("POWER_LOG");
    struct stat found;
    if (!named || !log || !realpath(named, root) || stat(root, &found) != 0) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (getenv("POWER_STEPS")) notes_max = strtoul(getenv("POWER_STEPS"), NULL, 10);
    root_length = strlen(root);
    device = found.st_dev;
    /* Out of the way of programs that count on low numbers. */
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    syscall(SYS_close, fd);
}

static void append(enum kind kind, ino_t inode, uint64_t offset, const char *first,
                   const char *second, const struct iovec *parts, int count, size_t payload) {
    struct header header = {kind, first ? (uint32_t)strlen(first) : 0,
                            second ? (uint32_t)strlen(second) : 0, (uint32_t)payload, inode, offset};
    struct iovec all[3 + 64];
    int used = 0;
    all[used++] = (struct iovec){&header, sizeof header};
    if (header.first) all[used++] = (struct iovec){(void *)first, header.first};
    if (header.second) all[used++] = (struct iovec){(void *)second, header.second};
    for (int i = 0; i < count && payload > 0; i++) {
        size_t length = parts[i].iov_len < payload ? parts[i].iov_len : payload;
        all[used++] = (struct iovec){parts[i].iov_base, length};
        payload -= length;
    }
    if (syscall(SYS_writev, log_fd, all, used) < 0) abort();
    if (++notes == notes_max) kill(getpid(), SIGKILL), pause();
}

static void note(enum kind kind, ino_t inode, uint64_t offset, const char *first, const char *second) {
    append(kind, inode, offset, first, second, NULL, 0, 0);
}

/* The slot of an inode, or the empty one where it would go. */
static ino_t *slot(ino_t inode) {
    size_t at = (size_t)(inode * 0x9E3779B97F4A7C15u) & (TRACKED_MAX - 1);
    for (size_t tried = 0; tried < TRACKED_MAX; tried++, at = (at + 1) & (TRACKED_MAX - 1))
        if (tracked[at] == inode || tracked[at] == 0) return &tracked[at];
    abort();
}

static void forget(ino_t inode) {
    ino_t *found = slot(inode);
    if (*found == 0) return;
    *found = 0;
    /* What was put behind it, since it stood in the way, moves up. */
    size_t at = (size_t)(found - tracked);
    for (at = (at + 1) & (TRACKED_MAX - 1); tracked[at] != 0; at = (at + 1) & (TRACKED_MAX - 1)) {
        ino_t moved = tracked[at];
        tracked[at] = 0;
        *slot(moved) = moved;
    }
}

/* Whether a name is below the root; writes it from there, the root itself as "". */
static int resolve(int directory, const char *path, char name[PATH_MAX]) {
    char joined[PATH_MAX * 2], parent[PATH_MAX], whole[PATH_MAX * 2];
    int saved = errno;
    if (log_fd < 0 || !path || !*path) return 0;
    if (path[0] == '/' || directory == AT_FDCWD) {
        snprintf(joined, sizeof joined, "%s", path);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, parent, sizeof parent - 1);
        if (length < 0) return errno = saved, 0;
        parent[length] = 0;
        snprintf(joined, sizeof joined, "%s/%s", parent, path);
    }
    size_t length = strlen(joined);
    while (length > 1 && joined[length - 1] == '/') joined[--length] = 0;
    char *base = strrchr(joined, '/');
    const char *last = base ? base + 1 : joined;
    if (!strcmp(last, ".") || !strcmp(last, "..") || !*last) {
        if (!realpath(joined, parent)) return errno = saved, 0;
        snprintf(whole, sizeof whole, "%s", parent);
    } else {
        const char *above = base == joined ? "/" : base ? joined : ".";
        if (base && base != joined) *base = 0;
        if (!realpath(above, parent)) return errno = saved, 0;
        snprintf(whole, sizeof whole, "%s/%s", strcmp(parent, "/") ? parent : "", last);
    }
    errno = saved;
    if (strncmp(whole, root, root_length)) return 0;
    if (whole[root_length] != '/' && whole[root_length] != 0) return 0;
    length = strlen(whole);
    if (length >= 4 && !strcmp(whole + length - 4, "-shm")) return 0;
    snprintf(name, PATH_MAX, "%s", whole[root_length] ? whole + root_length + 1 : "");
    return 1;
}

static int is_regular(int fd, struct stat *found) {
    int saved = errno;
    int known = log_fd >= 0 && fd != log_fd && fstat(fd, found) == 0 && found->st_dev == device;
    errno = saved;
    return known && (S_ISREG(found->st_mode) || S_ISDIR(found->st_mode));
}

/* Who is told something may count on what was done before, so that has a place in the order. */
static void speak(int fd) {
    struct stat found;
    int saved = errno;
    if (log_fd >= 0 && fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode)) {
        pthread_mutex_lock(&order);
        note(SPEAK, 0, 0, NULL, NULL);
        pthread_mutex_unlock(&order);
    }
    errno = saved;
}

static int begin_change(int fd, struct stat *found) {
    if (!is_regular(fd, found)) return 0;
    pthread_mutex_lock(&order);
    if (*slot(found->st_ino) == found->st_ino) return 1;
    pthread_mutex_unlock(&order);
    return 0;
}

static void end_change(void) {
    int saved = errno;
    pthread_mutex_unlock(&order);
    errno = saved;
}
