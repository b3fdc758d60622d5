#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

static int directory = -1;

static void check(bool is_done, const char *what, const char *name)
{
    if (!is_done)
        fail(LOCAL, "cannot %s %s: %s", what, name, strerror(errno));
}

static void sync_directory(void)
{
    check(fsync(directory) == 0, "sync", "the directory");
}

void store_open(const char *path)
{
    check(mkdir(path, 0700) == 0 || errno == EEXIST, "make", path);
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(directory >= 0, "open", path);
    int parent = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(parent >= 0 && fsync(parent) == 0, "sync the directory above", path);
    close(parent);
}

bool store_has(const char *name)
{
    return faccessat(directory, name, F_OK, 0) == 0;
}

static size_t read_all(int file, const char *name, char *buffer, size_t size)
{
    size_t length = 0;
    check(file >= 0, "open", name);
    while (length < size) {
        ssize_t count = read(file, buffer + length, size - length);
        check(count >= 0, "read", name);
        if (count == 0) {
            close(file);
            buffer[length] = '\0';
            return length + 1;
        }
        length += (size_t)count;
    }
    fail(LOCAL, "%s is too long", name);
}

size_t store_read(const char *name, char *buffer, size_t size)
{
    return read_all(openat(directory, name, O_RDONLY | O_CLOEXEC), name, buffer, size);
}

void read_line(const char *path, char *buffer, size_t size)
{
    read_all(open(path, O_RDONLY | O_CLOEXEC), path, buffer, size);
    buffer[strcspn(buffer, "\r\n")] = '\0';
}

void store_keep(const char *name, const char *text)
{
    char temporary[32];
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    unlinkat(directory, temporary, 0);
    int file = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    check(file >= 0, "make", temporary);
    for (size_t left = strlen(text); left > 0;) {
        ssize_t count = write(file, text, left);
        check(count > 0, "write", temporary);
        text += count;
        left -= (size_t)count;
    }
    check(fsync(file) == 0 && close(file) == 0, "sync", temporary);
    store_rename(temporary, name);
}

void store_rename(const char *from, const char *to)
{
    check(renameat(directory, from, directory, to) == 0, "rename", from);
    sync_directory();
}

void store_remove(const char *name)
{
    check(unlinkat(directory, name, 0) == 0 || errno == ENOENT, "remove", name);
    sync_directory();
}
