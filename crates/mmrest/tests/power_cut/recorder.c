// Preloaded into a program, records what it does to the files below $POWER_CUT_ROOT into $POWER_CUT_LOG, one record for each
// call that changes or syncs something, in the order in which the calls happen:
//
//   C PATH INODE    a file is opened that may be new        S INODE PATH     a file is synced
//   W INODE AT N    N bytes, which follow                   D PATH           a folder is synced
//   T INODE N       a file is cut to N bytes                R FROM TO        something is renamed
//   M PATH          a folder is made                        U PATH           a file or an empty folder is removed
//   L FROM TO       a file gets a second name
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;
static const char *root;

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("POWER_CUT_LOG");
    root = getenv("POWER_CUT_ROOT");
    if (file && root) out = REAL(open)(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static int inside(const char *path) {
    size_t n = root ? strlen(root) : 0;
    return out >= 0 && n && !strncmp(path, root, n) && (path[n] == '/' || !path[n]);
}

// The path of NAME in the folder FOLDER, without looking at links; empty where it cannot be told.
static void whole(int folder, const char *name, char *path) {
    char at[64], base[PATH_MAX] = "";
    if (name[0] == '/') { snprintf(path, PATH_MAX, "%s", name); return; }
    if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) base[0] = 0; }
    else {
        snprintf(at, sizeof at, "/proc/self/fd/%d", folder);
        ssize_t n = readlink(at, base, sizeof base - 1);
        base[n > 0 ? n : 0] = 0;
    }
    if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) path[0] = 0;
}

static int path_of(int fd, char *path) {
    char at[64];
    snprintf(at, sizeof at, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(at, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    return inside(path);
}

static unsigned long inode(int fd) {
    struct stat about;
    return fstat(fd, &about) ? 0 : (unsigned long)about.st_ino;
}

static void record(const struct iovec *data, int count, const char *format, ...) {
    char line[2 * PATH_MAX + 64];
    va_list rest;
    va_start(rest, format);
    int n = vsnprintf(line, sizeof line, format, rest);
    va_end(rest);
    struct iovec all[64] = {{line, (size_t)n}};
    if (count > 63) abort();
    for (int i = 0; i < count; i++) all[i + 1] = data[i];
    if (REAL(writev)(out, all, count + 1) < 0) abort();
}

#define LOCK int kept; pthread_mutex_lock(&order)
#define UNLOCK kept = errno; pthread_mutex_unlock(&order); errno = kept

static int opened(int folder, const char *name, int flags, int fd) {
    char path[PATH_MAX];
    if (fd >= 0 && (flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE) {
        whole(folder, name, path);
        if (inside(path)) {
            record(0, 0, "C\t%s\t%lu\n", path, inode(fd));
            if (flags & O_TRUNC) record(0, 0, "T\t%lu\t0\n", inode(fd));
        }
    }
    return fd;
}

#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }
#define OPEN(name) int name(const char *path, int flags, ...) { MODE LOCK; \
    int fd = opened(AT_FDCWD, path, flags, REAL(name)(path, flags, mode)); UNLOCK; return fd; }
#define OPENAT(name) int name(int at, const char *path, int flags, ...) { MODE LOCK; \
    int fd = opened(at, path, flags, REAL(name)(at, path, flags, mode)); UNLOCK; return fd; }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

static void wrote(int fd, long at, const struct iovec *data, int count, ssize_t n) {
    char path[PATH_MAX];
    if (n <= 0 || !path_of(fd, path)) return;
    struct iovec part[63];
    size_t left = (size_t)n;
    int used = 0;
    for (; used < count && left; used++) {
        part[used] = data[used];
        if (part[used].iov_len > left) part[used].iov_len = left;
        left -= part[used].iov_len;
    }
    record(part, used, "W\t%lu\t%ld\t%ld\n", inode(fd), at, (long)n);
}

static long place(int fd) {
    struct stat about;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND)) return fstat(fd, &about) ? 0 : (long)about.st_size;
    return (long)lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    LOCK;
    long at = place(fd);
    struct iovec data = {(void *)bytes, n};
    ssize_t done = REAL(write)(fd, bytes, n);
    kept = errno; wrote(fd, at, &data, 1, done); errno = kept;
    UNLOCK;
    return done;
}

ssize_t writev(int fd, const struct iovec *data, int count) {
    LOCK;
    long at = place(fd);
    ssize_t done = REAL(writev)(fd, data, count > 63 ? 63 : count);
    kept = errno; wrote(fd, at, data, count > 63 ? 63 : count, done); errno = kept;
    UNLOCK;
    return done;
}

#define PWRITE(name) ssize_t name(int fd, const void *bytes, size_t n, off_t at) { LOCK; \
    struct iovec data = {(void *)bytes, n}; ssize_t done = REAL(name)(fd, bytes, n, at); \
    kept = errno; wrote(fd, (long)at, &data, 1, done); errno = kept; UNLOCK; return done; }
PWRITE(pwrite) PWRITE(pwrite64)

// Copies go by reading and writing.
ssize_t copy_file_range(int a, off_t *b, int c, off_t *d, size_t e, unsigned f) { errno = ENOSYS; return -1; }
ssize_t sendfile(int a, int b, off_t *c, size_t d) { errno = ENOSYS; return -1; }
ssize_t sendfile64(int a, int b, off_t *c, size_t d) { errno = ENOSYS; return -1; }

#define CUT(name) int name(int fd, off_t n) { char path[PATH_MAX]; LOCK; int done = REAL(name)(fd, n); \
    if (!done && path_of(fd, path)) record(0, 0, "T\t%lu\t%ld\n", inode(fd), (long)n); UNLOCK; return done; }
CUT(ftruncate) CUT(ftruncate64)

static int synced(int fd, int done) {
    char path[PATH_MAX];
    struct stat about;
    if (!done && path_of(fd, path) && !fstat(fd, &about)) {
        if (S_ISDIR(about.st_mode)) record(0, 0, "D\t%s\n", path);
        else record(0, 0, "S\t%lu\t%s\n", (unsigned long)about.st_ino, path);
    }
    return done;
}
int fsync(int fd) { LOCK; int done = synced(fd, REAL(fsync)(fd)); UNLOCK; return done; }
int fdatasync(int fd) { LOCK; int done = synced(fd, REAL(fdatasync)(fd)); UNLOCK; return done; }

static int named(const char *what, int folder, const char *name, int done) {
    char path[PATH_MAX];
    whole(folder, name, path);
    if (!done && inside(path)) record(0, 0, "%s\t%s\n", what, path);
    return done;
}
int mkdir(const char *p, mode_t m) { LOCK; int done = named("M", AT_FDCWD, p, REAL(mkdir)(p, m)); UNLOCK; return done; }
int unlink(const char *p) { LOCK; int done = named("U", AT_FDCWD, p, REAL(unlink)(p)); UNLOCK; return done; }
int rmdir(const char *p) { LOCK; int done = named("U", AT_FDCWD, p, REAL(rmdir)(p)); UNLOCK; return done; }
int unlinkat(int at, const char *p, int f) { LOCK; int done = named("U", at, p, REAL(unlinkat)(at, p, f)); UNLOCK; return done; }

static int moved(const char *what, int a, const char *from, int b, const char *to, int done) {
    char one[PATH_MAX], other[PATH_MAX];
    whole(a, from, one);
    whole(b, to, other);
    if (!done && (inside(one) || inside(other))) record(0, 0, "%s\t%s\t%s\n", what, one, other);
    return done;
}
int rename(const char *a, const char *b) { LOCK; int done = moved("R", AT_FDCWD, a, AT_FDCWD, b, REAL(rename)(a, b)); UNLOCK; return done; }
int renameat(int a, const char *b, int c, const char *d) { LOCK; int done = moved("R", a, b, c, d, REAL(renameat)(a, b, c, d)); UNLOCK; return done; }
int renameat2(int a, const char *b, int c, const char *d, unsigned f) { LOCK; int done = moved("R", a, b, c, d, REAL(renameat2)(a, b, c, d, f)); UNLOCK; return done; }
int link(const char *a, const char *b) { LOCK; int done = moved("L", AT_FDCWD, a, AT_FDCWD, b, REAL(link)(a, b)); UNLOCK; return done; }
int linkat(int a, const char *b, int c, const char *d, int f) { LOCK; int done = moved("L", a, b, c, d, REAL(linkat)(a, b, c, d, f)); UNLOCK; return done; }
