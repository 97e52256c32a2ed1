/* The file layer under a child process, put there with LD_PRELOAD. Every call that changes files
 * under RECORD_DIRECTORY, or writes to standard output, is passed through and written down in
 * RECORD_LOG, in one order for all threads. Opening "/!fault/KIND/AFTER/TIMES" arms a fault: of the
 * calls that it concerns AFTER more succeed (bytes, for a full disk), then TIMES fail (-1: all). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, CLOSE, WRITE, RESIZE, SYNC, FAILED_SYNC, UNLINK, SAY };
enum { NO_FAULT, SYNC_FAILS, DISK_FULL, WRITE_FAILS, READ_ONLY };

#define FILES 65536
static char recorded[FILES]; /* by descriptor */
static const char *directory;
static size_t directory_length;
static int log_file = -1;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static int fault;
static long after, times;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void start(void) {
    if (real_open) return;
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_open = dlsym(RTLD_NEXT, "open");
    const char *log = getenv("RECORD_LOG");
    directory = getenv("RECORD_DIRECTORY");
    if (!log || !directory) return;
    directory_length = strlen(directory);
    log_file = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

#define LOCKED(type, call)                                                                         \
    start();                                                                                       \
    pthread_mutex_lock(&one);                                                                      \
    type result = call;                                                                            \
    pthread_mutex_unlock(&one);                                                                    \
    return result;

/* A thread that is writing when its process exits writes a part. None is, and none begins. */
__attribute__((destructor)) static void end(void) { pthread_mutex_lock(&one); }

/* A log that cannot be written would make the test pass for want of records. */
static void record(uint32_t kind, int fd, uint64_t number, const void *bytes, size_t length) {
    int error = errno;
    struct { uint32_t kind, fd; uint64_t number, length; } head = {kind, (uint32_t)fd, number, length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)bytes, length}};
    if (real_writev(log_file, parts, 2) != (ssize_t)(sizeof head + length)) abort();
    errno = error;
}

/* The name inside the directory, "" for itself, NULL elsewhere. */
static const char *name_of(const char *path) {
    if (log_file < 0 || strncmp(path, directory, directory_length)) return NULL;
    const char *rest = path + directory_length;
    return *rest == '/' ? rest + 1 : *rest ? NULL : rest;
}

static int is_recorded(int fd) { return fd >= 0 && fd < FILES && recorded[fd]; }
static int failed(int error) { return errno = error, -1; }

static int fails(int kind) {
    if (fault != kind || times == 0) return 0;
    if (after > 0) return after--, 0;
    if (times > 0) times--;
    return 1;
}

static int opened(const char *path, int flags, mode_t mode) {
    if (!strncmp(path, "/!fault/", 8)) {
        sscanf(path + 8, "%d/%ld/%ld", &fault, &after, &times);
        return failed(ENOENT);
    }
    const char *name = name_of(path);
    if (!name) return real_open(path, flags, mode);
    int is_new = (flags & O_CREAT) && access(path, F_OK);
    if (((flags & O_ACCMODE) != O_RDONLY || is_new) && fails(READ_ONLY))
        return failed(is_new || !(flags & O_EXCL) ? EROFS : EEXIST);
    int fd = real_open(path, flags, mode);
    if (fd < 0) return fd;
    if (fd >= FILES) abort();
    recorded[fd] = 1;
    record(OPEN, fd, (uint64_t)is_new | (flags & O_TRUNC ? 2 : 0), name, strlen(name));
    return fd;
}

#define OPENS(function)                                                                            \
    int function(const char *path, int flags, ...) {                                               \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
        va_end(rest);                                                                              \
        LOCKED(int, opened(path, flags, mode))                                                     \
    }
OPENS(open)
OPENS(open64)

static int closed(int fd) {
    if (is_recorded(fd)) record(CLOSE, fd, 0, "", 0), recorded[fd] = 0;
    return real_close(fd);
}
int close(int fd) { LOCKED(int, closed(fd)) }

/* At `offset`, or at the descriptor's position when that is -1. */
static ssize_t written(int fd, const void *bytes, size_t length, off_t offset) {
    int placed = offset >= 0;
    if (!is_recorded(fd) && placed) return real_pwrite(fd, bytes, length, offset);
    if (!is_recorded(fd)) {
        ssize_t done = real_write(fd, bytes, length);
        if (fd == 1 && done > 0 && log_file >= 0) record(SAY, fd, 0, bytes, (size_t)done);
        return done;
    }
    if (!placed) offset = lseek(fd, 0, SEEK_CUR);
    if (fails(READ_ONLY)) return failed(EROFS);
    if (fails(WRITE_FAILS)) return failed(EIO);
    struct stat file;
    if (fault == DISK_FULL && fstat(fd, &file) == 0 && offset + (off_t)length > file.st_size) {
        /* What is there already can be overwritten. */
        size_t old = offset < file.st_size ? (size_t)(file.st_size - offset) : 0;
        if (length - old > (size_t)after) length = old + (size_t)after;
        if (length == 0) return failed(ENOSPC);
        after -= (long)(length - old);
    }
    ssize_t done = placed ? real_pwrite(fd, bytes, length, offset) : real_write(fd, bytes, length);
    if (done > 0) record(WRITE, fd, (uint64_t)offset, bytes, (size_t)done);
    return done;
}

ssize_t write(int fd, const void *from, size_t length) {
    LOCKED(ssize_t, written(fd, from, length, -1))
}
ssize_t pwrite(int fd, const void *from, size_t length, off_t to) {
    LOCKED(ssize_t, written(fd, from, length, to))
}
ssize_t pwrite64(int fd, const void *from, size_t length, off_t to) {
    LOCKED(ssize_t, written(fd, from, length, to))
}
/* The first part that holds something: a caller copes with less written than asked. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    while (count > 1 && parts->iov_len == 0) parts++, count--;
    LOCKED(ssize_t, count ? written(fd, parts->iov_base, parts->iov_len, -1) : 0)
}

static int resized(int fd, off_t size) {
    if (is_recorded(fd) && fails(READ_ONLY)) return failed(EROFS);
    int result = real_ftruncate(fd, size);
    if (result == 0 && is_recorded(fd)) record(RESIZE, fd, (uint64_t)size, "", 0);
    return result;
}
int ftruncate(int fd, off_t size) { LOCKED(int, resized(fd, size)) }
int ftruncate64(int fd, off_t size) { LOCKED(int, resized(fd, size)) }

static int synced(int fd) {
    int fault = is_recorded(fd) && fails(SYNC_FAILS);
    int result = fault ? failed(EIO) : real_fsync(fd);
    if (is_recorded(fd)) record(result ? FAILED_SYNC : SYNC, fd, 0, "", 0);
    return result;
}
int fsync(int fd) { LOCKED(int, synced(fd)) }
int fdatasync(int fd) { LOCKED(int, synced(fd)) }

static int unlinked(const char *path) {
    const char *name = name_of(path);
    if (name && fails(READ_ONLY)) return failed(EROFS);
    int result = real_unlink(path);
    if (result == 0 && name) record(UNLINK, -1, 0, name, strlen(name));
    return result;
}
int unlink(const char *path) { LOCKED(int, unlinked(path)) }

/* Nothing here renames; whoever begins to must teach the replay. */
int rename(const char *from, const char *to) {
    if (name_of(from) || name_of(to)) abort();
    return real_rename(from, to);
}
