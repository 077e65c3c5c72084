/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_umount.c - `hushfs umount`: unmounts and waits until the keeper is gone, and with it the
 * worker, the mover and every secret. A mount in trouble can be unmounted too: nothing here waits
 * for an answer of the mount without a limit.
 */
#include "cmd.h"
#include "control.h"
#include "core/cleanup.h"
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_SIZE = 65536, STATUS_MS = 2000, CHILD_END_MS = 200, END_MS = 10000 };

/* -- Who the keeper is ------------------------------------------------------------------------- */

/* The number behind "keeper_pid" in size bytes of JSON; 0: there is none. */
static pid_t status_keeper(const char *json)
{
    static const char key[] = "\"keeper_pid\"";
    const char *at = strstr(json, key);
    char digits[16];
    uint64_t pid;

    if (at == NULL)
        return 0;
    at += sizeof(key) - 1;
    at += strspn(at, " \t\n:");
    const size_t size = strspn(at, "0123456789");
    if (size == 0 || size >= sizeof(digits))
        return 0;
    memcpy(digits, at, size);
    digits[size] = '\0';
    return hush_parse_u64(digits, INT32_MAX, &pid) ? (pid_t)pid : 0;
}

/* In a child: what the mount says goes to fd. */
_Noreturn static void status_copy(const char *mountpoint, int fd)
{
    char path[PATH_MAX + 32], text[STATUS_SIZE];
    size_t size = 0;
    ssize_t n = 1;

    (void)snprintf(path, sizeof(path), "%s/%s/status.json", mountpoint, HUSH_CONTROL_DIR);
    const int in = open(path, O_RDONLY | O_CLOEXEC);
    while (in >= 0 && size < sizeof(text) && (n = read(in, text + size, sizeof(text) - size)) > 0)
        size += (size_t)n;
    _exit(in >= 0 && write(fd, text, size) == (ssize_t)size ? 0 : 1);
}

static size_t pipe_read(int fd, char *text, size_t room)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    size_t size = 0;
    ssize_t n;

    while (size < room && poll(&poll_fd, 1, STATUS_MS) > 0 &&
           (n = read(fd, text + size, room - size)) > 0)
        size += (size_t)n;
    return size;
}

/* Not waited for without end: if its request was read by a worker that then stopped, it cannot die
 * before that goes on. What is left of it is init's. */
static void child_end(pid_t child)
{
    struct pollfd poll_fd = {.fd = pidfd_open(child, 0), .events = POLLIN};

    (void)kill(child, SIGKILL); /* not reaped yet: it is there */
    if (poll_fd.fd >= 0) {
        (void)poll(&poll_fd, 1, CHILD_END_MS);
        (void)close(poll_fd.fd);
    }
    (void)waitpid(child, NULL, WNOHANG);
}

/* 0: the mount does not say, or not in time. A child asks, since only SIGKILL ends a wait for FUSE.
 */
static pid_t mount_keeper(const char *mountpoint)
{
    cleanup_free char *text = malloc(STATUS_SIZE + 1);
    int ends[2];

    if (text == NULL || pipe2(ends, O_CLOEXEC) != 0)
        return 0;
    const pid_t child = fork();
    if (child == 0)
        status_copy(mountpoint, ends[1]);
    (void)close(ends[1]);
    const size_t size = child < 0 ? 0 : pipe_read(ends[0], text, STATUS_SIZE);
    text[size] = '\0';
    (void)close(ends[0]);
    if (child > 0)
        child_end(child);
    return status_keeper(text);
}

/* -- Unmounting -------------------------------------------------------------------------------- */

/* A mount that this user made through fusermount3 only that program can unmount. */
static bool umount_by_helper(const char *mountpoint, bool lazy)
{
    char name[] = "fusermount3", flag[] = "-u", lazy_flag[] = "-uz", end[] = "--";
    char path[PATH_MAX];
    char *argv[] = {name, lazy ? lazy_flag : flag, end, path, NULL};
    int status = -1;
    pid_t pid;

    (void)snprintf(path, sizeof(path), "%s", mountpoint); /* it has at most that size */
    const int err = posix_spawnp(&pid, name, NULL, NULL, argv, environ);
    if (err != 0) {
        errno = err;
        return false;
    }
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        errno = EPERM; /* it said why */
        return false;
    }
    return true;
}

/* Nobody answers any more: the keeper and all its processes are gone. */
static bool mount_is_dead(const char *mountpoint, pid_t keeper)
{
    return keeper == 0 && access(mountpoint, F_OK) != 0 && errno == ENOTCONN;
}

static bool mount_detach(const char *mountpoint, bool lazy, pid_t keeper)
{
    if (umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return true;
    if (errno == EBUSY && !lazy && mount_is_dead(mountpoint, keeper))
        return umount2(mountpoint, UMOUNT_NOFOLLOW | MNT_DETACH) == 0;
    return errno == EPERM && geteuid() != 0 && umount_by_helper(mountpoint, lazy);
}

static int umount_fail(const char *mountpoint)
{
    if (errno == EBUSY)
        return hush_cmd_fail(
            HUSH_CMD_FAILED,
            "'%s' is busy: files in it are open, or somebody is in it; close them, "
            "or use -l to unmount now and end when they are closed",
            mountpoint);
    return hush_cmd_fail(HUSH_CMD_FAILED, "cannot unmount '%s': %m", mountpoint);
}

/* With -l the keeper lives on while files are open: that is what was asked for. */
static int keeper_wait(const char *mountpoint, int pidfd, bool lazy)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

    if (pidfd < 0 || poll(&poll_fd, 1, lazy ? 0 : END_MS) > 0 || lazy)
        return HUSH_CMD_DONE;
    return hush_cmd_fail(HUSH_CMD_FAILED, "'%s' is unmounted, but its keeper has not ended in %d s",
                         mountpoint, END_MS / 1000);
}

int hush_cmd_umount(const struct hush_args *args)
{
    struct hush_mounts mounts;
    char mountpoint[PATH_MAX];

    if (!hush_mounts_read(&mounts))
        return hush_cmd_fail(HUSH_CMD_FAILED, "cannot read /proc/self/mountinfo: %m");
    const int found = hush_cmd_find_mount(&mounts, args->names[0], mountpoint);
    hush_mounts_free(&mounts);
    if (found != HUSH_CMD_DONE)
        return found;
    const pid_t keeper = mount_keeper(mountpoint);
    /* Before the mount goes, so that the number cannot be another process's by then. */
    cleanup_close int pidfd = keeper == 0 ? -1 : pidfd_open(keeper, 0);
    if (!mount_detach(mountpoint, args->lazy, keeper))
        return umount_fail(mountpoint);
    return keeper_wait(mountpoint, pidfd, args->lazy);
}
