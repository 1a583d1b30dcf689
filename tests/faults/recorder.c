// SPDX-License-Identifier: Apache-2.0
// Records what a process does to the files below one folder, in the order in which it happened.
//
// Preloaded (LD_PRELOAD) into a stack. RECORDER_ROOT is the folder, RECORDER_TRACE the file that takes the events; a client
// appends its own events (kind A) to the same file, so that one order holds for writes and acknowledgements.
//
// An event is one write to a file that is open for appending: a header, then two paths, then data. A lock is held over the
// call and its event: what stands before a synchronisation in the trace had returned before it began. The synchronisation
// itself is not passed on, because the disk of the replay decides what is durable.
//
// recorder_arm(after, error, count) makes calls fail instead: the one with this number from now on, and those behind it up to
// count; an error of 0 kills the process there. recorder_calls() says how many there have been. While the file that
// RECORDER_READ_ONLY names is there, all of them fail as on a file system that was made read-only under the process.
//
//   W write  T truncate  S sync a file  D sync a folder  C open for writing, perhaps new  M make a folder
//   R rename  U unlink  X something that the replay cannot follow

#define _GNU_SOURCE
#include <dlfcn.h>
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
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct __attribute__((packed)) header {
    char kind;
    uint64_t inode;
    int64_t offset;
    uint32_t path, other, data;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static char root[PATH_MAX];
static size_t root_size;
static const char *read_only;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_renameat)(int, const char *, int, const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_mkdirat)(int, const char *, mode_t);
static int (*real_linkat)(int, const char *, int, const char *, int);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);
static int (*real_fsync)(int);

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("RECORDER_ROOT"), *file = getenv("RECORDER_TRACE");
    real_open = dlsym(RTLD_NEXT, "open64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_renameat = dlsym(RTLD_NEXT, "renameat");
    real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
    real_mkdirat = dlsym(RTLD_NEXT, "mkdirat");
    real_linkat = dlsym(RTLD_NEXT, "linkat");
    real_mmap = dlsym(RTLD_NEXT, "mmap64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    read_only = getenv("RECORDER_READ_ONLY");
    if (!folder || !file) return;
    root_size = (size_t)snprintf(root, sizeof root, "%s/", folder);
    trace = real_open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void record(char kind, uint64_t inode, int64_t offset, const char *path, const char *other, const void *data,
                   size_t size) {
    struct header header = {kind, inode, offset, (uint32_t)strlen(path), (uint32_t)strlen(other), (uint32_t)size};
    struct iovec parts[] = {{&header, sizeof header},
                            {(void *)path, header.path},
                            {(void *)other, header.other},
                            {(void *)data, size}};
    ssize_t whole = (ssize_t)(sizeof header + header.path + header.other + size);
    if (real_writev(trace, parts, 4) != whole) abort();
}

// The path below the root of a descriptor, or of a name beside one; NULL when it is elsewhere.
static const char *below(const char *path) {
    if (trace < 0 || strncmp(path, root, root_size - 1)) return NULL;
    if (!path[root_size - 1]) return "";  // the root itself
    return path[root_size - 1] == '/' ? path + root_size : NULL;
}

static const char *of_descriptor(int fd, char *buffer) {
    char link[64];
    if (trace < 0 || fd < 0) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, buffer, PATH_MAX - 1);
    if (size < 0) return NULL;
    buffer[size] = 0;
    return below(buffer);
}

static const char *of_name(int folder, const char *name, char *buffer) {
    if (trace < 0 || !name) return NULL;
    if (name[0] == '/') {
        snprintf(buffer, PATH_MAX, "%s", name);
    } else {
        char link[64] = "/proc/self/cwd";
        if (folder != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t size = readlink(link, buffer, PATH_MAX - 1);
        if (size < 0) return NULL;
        snprintf(buffer + size, (size_t)(PATH_MAX - size), "/%s", name);
    }
    return below(buffer);
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

// --- failures on order -------------------------------------------------------------------------------------
static int calls, first_failure, failures, failure;

void recorder_arm(int after, int error, int count) {
    pthread_mutex_lock(&lock);
    calls = 0, first_failure = after, failure = error, failures = count;
    pthread_mutex_unlock(&lock);
}

int recorder_calls(void) { return calls; }

// Whether this call, which changes something below the root, fails; errno says how.
static int fails(void) {
    if (read_only && !access(read_only, F_OK)) {
        errno = EROFS;
        return 1;
    }
    pthread_mutex_lock(&lock);
    int place = ++calls - first_failure, now = place >= 0 && place < failures;
    pthread_mutex_unlock(&lock);
    if (now && !failure) kill(getpid(), SIGKILL);
    if (now) errno = failure;
    return now;
}

// --- open ------------------------------------------------------------------------------------------------
static int open_recorded(int folder, const char *name, int flags, mode_t mode) {
    char link[PATH_MAX];
    int (*real_openat)(int, const char *, int, ...) = dlsym(RTLD_NEXT, "openat64");
    if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT)) return real_openat(folder, name, flags, mode);
    if (of_name(folder, name, link) && fails()) return -1;
    pthread_mutex_lock(&lock);
    int fd = real_openat(folder, name, flags, mode), error = errno;
    const char *path = fd < 0 ? NULL : of_descriptor(fd, link);
    if (path) {
        if ((flags & O_TMPFILE) == O_TMPFILE) record('X', 0, 0, path, "O_TMPFILE", "", 0);
        record('C', inode_of(fd), 0, path, "", "", 0);
        if (flags & O_TRUNC) record('T', inode_of(fd), 0, path, "", "", 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(NAME)                                    \
    int NAME(const char *name, int flags, ...) {      \
        va_list more;                                 \
        va_start(more, flags);                        \
        mode_t mode = va_arg(more, mode_t);           \
        va_end(more);                                 \
        return open_recorded(AT_FDCWD, name, flags, mode); \
    }
#define OPENAT(NAME)                                  \
    int NAME(int folder, const char *name, int flags, ...) { \
        va_list more;                                 \
        va_start(more, flags);                        \
        mode_t mode = va_arg(more, mode_t);           \
        va_end(more);                                 \
        return open_recorded(folder, name, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

// --- write -------------------------------------------------------------------------------------------------
ssize_t write(int fd, const void *data, size_t size) {
    char link[PATH_MAX];
    const char *path = of_descriptor(fd, link);
    if (!path) return real_write(fd, data, size);
    if (fails()) return -1;
    pthread_mutex_lock(&lock);
    ssize_t written = real_write(fd, data, size);
    int error = errno;
    if (written > 0) record('W', inode_of(fd), lseek(fd, 0, SEEK_CUR) - written, path, "", data, (size_t)written);
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

#define PWRITE(NAME)                                                         \
    ssize_t NAME(int fd, const void *data, size_t size, off_t offset) {      \
        char link[PATH_MAX];                                                 \
        const char *path = of_descriptor(fd, link);                          \
        if (!path) return real_pwrite(fd, data, size, offset);               \
        if (fails()) return -1;                                              \
        pthread_mutex_lock(&lock);                                           \
        ssize_t written = real_pwrite(fd, data, size, offset);               \
        int error = errno;                                                   \
        if (written > 0) record('W', inode_of(fd), offset, path, "", data, (size_t)written); \
        pthread_mutex_unlock(&lock);                                         \
        errno = error;                                                       \
        return written;                                                      \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define TRUNCATE(NAME)                                                       \
    int NAME(int fd, off_t size) {                                           \
        char link[PATH_MAX];                                                 \
        const char *path = of_descriptor(fd, link);                          \
        if (path && fails()) return -1;                                      \
        pthread_mutex_lock(&lock);                                           \
        int answer = real_ftruncate(fd, size), error = errno;                \
        if (path && !answer) record('T', inode_of(fd), size, path, "", "", 0); \
        pthread_mutex_unlock(&lock);                                         \
        errno = error;                                                       \
        return answer;                                                       \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

// --- synchronise -------------------------------------------------------------------------------------------
#define SYNC(NAME)                                                           \
    int NAME(int fd) {                                                       \
        char link[PATH_MAX];                                                 \
        struct stat found;                                                   \
        const char *path = of_descriptor(fd, link);                          \
        if (!path || fstat(fd, &found)) return real_fsync(fd);               \
        if (fails()) return -1;                                              \
        pthread_mutex_lock(&lock);                                           \
        record(S_ISDIR(found.st_mode) ? 'D' : 'S', found.st_ino, 0, path, "", "", 0); \
        pthread_mutex_unlock(&lock);                                         \
        return 0;                                                            \
    }
SYNC(fsync)
SYNC(fdatasync)

// --- names -------------------------------------------------------------------------------------------------
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    char first[PATH_MAX], second[PATH_MAX];
    const char *old = of_name(from_folder, from, first), *new = of_name(to_folder, to, second);
    if ((old || new) && fails()) return -1;
    pthread_mutex_lock(&lock);
    int answer = real_renameat(from_folder, from, to_folder, to), error = errno;
    if (!answer && old && new) record('R', 0, 0, old, new, "", 0);
    if (!answer && !old != !new) record('X', 0, 0, old ? old : new, "a rename across the root", "", 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return answer;
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int folder, const char *name, int flags) {
    char buffer[PATH_MAX];
    const char *path = of_name(folder, name, buffer);
    if (path && fails()) return -1;
    pthread_mutex_lock(&lock);
    int answer = real_unlinkat(folder, name, flags), error = errno;
    if (!answer && path) record('U', 0, 0, path, "", "", 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return answer;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int folder, const char *name, mode_t mode) {
    char buffer[PATH_MAX];
    const char *path = of_name(folder, name, buffer);
    if (path && fails()) return -1;
    pthread_mutex_lock(&lock);
    int answer = real_mkdirat(folder, name, mode), error = errno;
    if (!answer && path) record('M', 0, 0, path, "", "", 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return answer;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

// --- what the replay cannot follow ---------------------------------------------------------------------------
static void unknown(int fd, const char *call) {
    char link[PATH_MAX];
    const char *path = of_descriptor(fd, link);
    if (path) record('X', 0, 0, path, call, "", 0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char buffer[PATH_MAX];
    const char *path = of_name(to_folder, to, buffer);
    if (path) record('X', 0, 0, path, "link", "", 0);
    return real_linkat(from_folder, from, to_folder, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    unknown(fd, "writev");
    return real_writev(fd, parts, count);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    ssize_t (*real)(int, int, off64_t *, size_t) = dlsym(RTLD_NEXT, "sendfile64");
    unknown(to, "sendfile");
    return real(to, from, offset, size);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned) = dlsym(RTLD_NEXT, "copy_file_range");
    unknown(to, "copy_file_range");
    return real(from, from_at, to, to_at, size, flags);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    int (*real)(int, off64_t, off64_t) = dlsym(RTLD_NEXT, "posix_fallocate64");
    unknown(fd, "fallocate");
    return real(fd, offset, size);
}

// Shared memory of SQLite (-shm) is made anew after a power cut; any other file must be written by calls.
#define MMAP(NAME)                                                           \
    void *NAME(void *at, size_t size, int protection, int flags, int fd, off_t offset) { \
        char link[PATH_MAX];                                                 \
        const char *path = (flags & MAP_SHARED) && (protection & PROT_WRITE) ? of_descriptor(fd, link) : NULL; \
        size_t length = path ? strlen(path) : 0;                             \
        if (path && (length < 4 || strcmp(path + length - 4, "-shm"))) record('X', 0, 0, path, "mmap", "", 0); \
        return real_mmap(at, size, protection, flags, fd, offset);           \
    }
MMAP(mmap)
MMAP(mmap64)
