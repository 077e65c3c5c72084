/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint.c - see mountpoint.h. Called by keeper.c.
 *
 * The mount is made detached and read-only, and only then put in its place: a copy that propagates
 * to another mount namespace is read-only from its first instant, too.
 */
#include "mountpoint.h"

#include "core/cleanup.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

enum { ERROR_SIZE = PATH_MAX + 160, PROBE_MS = 2000, STALE_MAX = 16 };

#define MOUNTPOINT_TYPE "fuse.hushfs"

/* MNT_FORCE ends the connection, so that nobody is left waiting for an answer that will not come.
 */
#define MOUNTPOINT_END (MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW)

__attribute__((format(printf, 2, 3))) static bool mountpoint_fail(char *error, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(error, ERROR_SIZE, fmt, args); /* cut if it must be */
    va_end(args);
    return false;
}

/* A mount on a symbolic link would go where the link points at that instant. */
static int mountpoint_open(const char *path, char *error)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    const int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    if (fd >= 0)
        return fd;
    if (errno == ELOOP)
        mountpoint_fail(error, "mount point '%s' has a symbolic link in it: give the real path",
                        path);
    else if (errno == ENOTDIR)
        mountpoint_fail(error, "mount point '%s' is not a directory", path);
    else if (errno == ENOENT)
        mountpoint_fail(error, "mount point '%s' does not exist: make the directory first%s", path,
                        strncmp(path, "/run/", 5) == 0 ? ", at each boot (tmpfiles.d)" : "");
    else
        mountpoint_fail(error, "cannot open mount point '%s': %m", path);
    return -1;
}

enum { LISTEN_TRIES = 50, LISTEN_PAUSE_NS = 20 * 1000 * 1000 }; /* a second in all */

/* -- mountinfo, which asks no filesystem ------------------------------------------------------- */

/* The mount that fd is on. */
static bool mountpoint_id(int fd, char id[24])
{
    cleanup_file FILE *info = NULL;
    char path[48], line[64];
    size_t size;

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = fopen(path, "re");
    while (info != NULL && fgets(line, sizeof(line), info) != NULL) {
        if (strncmp(line, "mnt_id:\t", 8) != 0)
            continue;
        size = strcspn(line + 8, "\n");
        if (size >= 24)
            return false;
        memcpy(id, line + 8, size);
        id[size] = '\0';
        return true;
    }
    return false;
}

/* Is id the mount of a hushfs? Then dev, which no other has meanwhile, is "major:minor". */
static bool mountpoint_find(const char *id, char dev[24])
{
    cleanup_file FILE *info = fopen("/proc/self/mountinfo", "re");
    cleanup_free char *line = NULL;
    size_t room = 0, size = strlen(id);
    const char *field;

    while (info != NULL && getline(&line, &room, info) > 0) {
        if (strncmp(line, id, size) != 0 || line[size] != ' ')
            continue;
        field = strchr(line + size + 1, ' '); /* behind the parent's id */
        if (field == NULL || strstr(field, " - " MOUNTPOINT_TYPE " ") == NULL)
            return false;
        (void)snprintf(dev, 24, "%.*s", (int)strcspn(field + 1, " "), field + 1);
        return true;
    }
    return false;
}

/* -- What is there already --------------------------------------------------------------------- */

/*
 * A keeper listens on a name made of dev, so that another can tell a mount that is slow from one
 * whose keeper died while its mover waited for an answer: that mover cannot die, and with its
 * /dev/fuse the connection stays up. Nothing is ever said there.
 */
static struct sockaddr_un keeper_name(const char *dev, socklen_t *size)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX}; /* abstract: the path begins with NUL */
    const int n = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "hushfs-keeper/%s", dev);

    *size = (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1 + (socklen_t)n;
    return name;
}

/* The device number may be that of a mount whose keeper is just ending. */
static bool keeper_bind(int fd, const char *dev)
{
    socklen_t size;
    const struct sockaddr_un name = keeper_name(dev, &size);

    for (int tries = 0; tries < LISTEN_TRIES; tries++) {
        if (bind(fd, (const struct sockaddr *)&name, size) == 0)
            return true;
        if (errno != EADDRINUSE)
            return false;
        (void)nanosleep(&(struct timespec){.tv_nsec = LISTEN_PAUSE_NS}, NULL);
    }
    return false;
}

static int keeper_listen(const char *dev)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || !keeper_bind(fd, dev) || listen(fd, 1) != 0)
        /* In use: by a keeper that is ending. While it lives this mount counts as alive, too. */
        hush_log(errno == EADDRINUSE ? HUSH_LOG_INFO : HUSH_LOG_WARNING,
                 "cannot listen: another mount may take this one for dead: %m");
    return fd;
}

static bool keeper_is_there(const char *dev)
{
    socklen_t size, ucred_size = sizeof(struct ucred);
    const struct sockaddr_un name = keeper_name(dev, &size);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct ucred peer;

    if (fd < 0)
        return true; /* not known */
    if (connect(fd, (const struct sockaddr *)&name, size) != 0)
        return errno != ECONNREFUSED;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &ucred_size) != 0 || peer.uid == 0;
}

/*
 * True if nobody serves the mount behind fd. In a child, since a mount whose server hangs would
 * hang us; it is not waited for longer than PROBE_MS and may stay, unkillable, until it is
 * answered.
 */
static bool mountpoint_is_dead(int fd, const char *dev)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    const pid_t pid = fork();
    struct statx stx;
    int status;

    if (pid < 0)
        return false;
    if (pid == 0)
        _exit(statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_MODE, &stx) != 0 &&
              (errno == ENOTCONN || errno == ECONNABORTED)); /* the latter: just now */
    for (int ms = 0; ms < PROBE_MS; ms += 10) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) && WEXITSTATUS(status) == 1;
        (void)nanosleep(&pause, NULL);
    }
    (void)kill(pid, SIGKILL);
    return !keeper_is_there(dev);
}

/* What the kernel calls fd. */
static bool mountpoint_name(int fd, char out[PATH_MAX])
{
    char self[48];
    ssize_t n;

    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    n = readlink(self, out, PATH_MAX - 1);
    out[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

/* 1: fd can be mounted on; 0: a dead mount was there and is gone, look again; -1: no. */
static int mountpoint_judge(struct hush_mountpoint *mp, int fd, const char *path, char *error)
{
    char id[24], dev[24];

    if (!mountpoint_name(fd, mp->path) || !mountpoint_id(fd, id))
        mountpoint_fail(error, "cannot examine mount point '%s': is /proc mounted?", path);
    else if (!mountpoint_find(id, dev))
        return 1;
    else if (!mountpoint_is_dead(fd, dev))
        mountpoint_fail(error, "'%s' is already mounted (hushfs umount %s)", path, path);
    else if (umount2(mp->path, MOUNTPOINT_END) != 0)
        mountpoint_fail(error, "cannot detach the dead mount on '%s': %m", path);
    else
        return 0;
    return -1;
}

/* The directory to mount on, with nothing of ours on it; or -1. */
static int mountpoint_claim(struct hush_mountpoint *mp, const char *path, char *error)
{
    for (int i = 0; i < STALE_MAX; i++) {
        const int fd = mountpoint_open(path, error);
        const int verdict = fd < 0 ? -1 : mountpoint_judge(mp, fd, path, error);

        if (verdict > 0)
            return fd;
        if (fd >= 0)
            (void)close(fd); /* a path only */
        if (verdict < 0)
            return -1;
        hush_warning("detached a dead mount on '%s'", path);
    }
    mountpoint_fail(error, "too many dead mounts on '%s'", path);
    return -1;
}

/* -- The new one ------------------------------------------------------------------------------- */

static bool mountpoint_configure(int fs, int fuse_fd, bool allow_other)
{
    char fd[16];
    const struct {
        const char *key, *value; /* value NULL: a flag */
    } options[] = {
        {"source", "hushfs"},
        {"subtype", "hushfs"},
        {"fd", fd},
        {"rootmode", "40000"},
        {"user_id", "0"},
        {"group_id", "0"},
        {"max_read", "131072"},
        {"default_permissions", NULL}, /* allow_other never without it */
        {"allow_other", NULL},
    };
    const size_t count = sizeof(options) / sizeof(options[0]) - (allow_other ? 0 : 1);

    (void)snprintf(fd, sizeof(fd), "%d", fuse_fd);
    for (size_t i = 0; i < count; i++)
        if (fsconfig(fs, options[i].value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING,
                     options[i].key, options[i].value, 0) != 0)
            return false;
    return fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0;
}

static int mountpoint_make(int fuse_fd, bool allow_other)
{
    cleanup_close int fs = fsopen("fuse", FSOPEN_CLOEXEC);

    if (fs < 0 || !mountpoint_configure(fs, fuse_fd, allow_other))
        return -1;
    return fsmount(fs, FSMOUNT_CLOEXEC,
                   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* The mover's way in. Without it rotations are served all the same, but nobody gets an event. */
static int mountpoint_clone(int mount_fd)
{
    struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
    const int fd = open_tree(mount_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
        return fd;
    hush_warning("no writable clone of the mount: rotations make no inotify events: %m");
    if (fd >= 0)
        (void)close(fd); /* a path only */
    return -1;
}

bool hush_mountpoint_mount(struct hush_mountpoint *mp, const char *path, int fuse_fd,
                           bool allow_other, char error[ERROR_SIZE])
{
    cleanup_close int dir = mountpoint_claim(mp, path, error);
    cleanup_close int fd = -1;
    char dev[24];

    if (dir < 0)
        return false;
    fd = mountpoint_make(fuse_fd, allow_other);
    if (fd < 0)
        return mountpoint_fail(error, "cannot make the mount: %m%s",
                               errno == EPERM ? " (it needs root, with CAP_SYS_ADMIN)" : "");
    if (!mountpoint_id(fd, mp->id) ||
        move_mount(fd, "", dir, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
        mp->id[0] = '\0';
        return mountpoint_fail(error, "cannot mount on '%s': %m", path);
    }
    mp->clone_fd = mountpoint_clone(fd);
    if (mountpoint_find(mp->id, dev))
        mp->listen_fd = keeper_listen(dev);
    return true;
}

bool hush_mountpoint_is_mounted(const struct hush_mountpoint *mp)
{
    char dev[24];

    return mp->id[0] != '\0' && mountpoint_find(mp->id, dev);
}

/* Is it what its path leads to? Else umount2() would take away what covers it. */
static bool mountpoint_is_top(const struct hush_mountpoint *mp)
{
    cleanup_close int fd = open(mp->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char id[24];

    return fd >= 0 && mountpoint_id(fd, id) && strcmp(id, mp->id) == 0;
}

/* False: logged. */
static bool mountpoint_unmount(const struct hush_mountpoint *mp)
{
    if (!hush_mountpoint_is_mounted(mp))
        return true; /* somebody else did */
    if (!mountpoint_is_top(mp)) {
        hush_error("cannot unmount '%s': something is mounted over it", mp->path);
        return false;
    }
    if (umount2(mp->path, MOUNTPOINT_END) == 0)
        return true;
    hush_error("cannot unmount '%s': %m", mp->path);
    return false;
}

void hush_mountpoint_umount(struct hush_mountpoint *mp)
{
    if (mp->id[0] != '\0' && mountpoint_unmount(mp))
        hush_info("unmounted '%s'", mp->path);
    if (mp->clone_fd >= 0)
        (void)close(mp->clone_fd); /* a path only */
    mp->clone_fd = -1;
    mp->id[0] = '\0';
}
