/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_setup.c - how the keeper begins: command line, log, limits, memories, mount, privileges.
 * Called by keeper.c, once.
 */
#include "keeper.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/lockmem.h"
#include "core/log.h"
#include "core/option.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3 */
#endif

#define MIB       (UINT64_C(1) << 20)
#define ARENA_MAX (64 * MIB)
#define CAP(name) (UINT64_C(1) << CAP_##name)

/* To unmount, to start children as others and to end them, to read the configuration again. */
#define KEEPER_CAPABILITIES                                                                        \
    (CAP(SYS_ADMIN) | CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP) | CAP(KILL) | CAP(SYS_RESOURCE) |   \
     CAP(DAC_READ_SEARCH))

/* For the log and for `hushfs mount`, which waits for the first word. Returns false. */
bool hush_keeper_fail(struct hush_keeper *k, int status, const char *fmt, ...)
{
    char text[PATH_MAX + 256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* cut if it must be */
    va_end(args);
    hush_error("%s", text);
    if (k->ready_fd >= 0)
        (void)dprintf(k->ready_fd, "E%d %s\n", status, text); /* nobody may be waiting any more */
    k->status = status;
    return false;
}

/* -- The command line -------------------------------------------------------------------------- */

static const char usage[] =
    "usage: hushfs-keeper --config-fd N --env-fd N [--ready-fd N] --user NAME|UID [--config FILE]\n"
    "                     [--log FILE] [--foreground] [--no-allow-other] [--memory BYTES]\n"
    "                     [--options OPTIONS] [--] MOUNTPOINT\n"
    "Started by `hushfs mount`.\n";

/* Our own descriptors are above those that the children get. */
static bool setup_raise(int *fd)
{
    const int old = *fd;

    *fd = fcntl(old, F_DUPFD_CLOEXEC, HUSH_SPAWN_ABOVE);
    (void)close(old); /* if it is not open there is nothing to close either */
    return *fd >= 0;
}

static bool setup_fd(const char *text, int *fd)
{
    uint64_t n;

    if (!hush_parse_u64(text, INT_MAX, &n))
        return false;
    *fd = (int)n;
    return setup_raise(fd);
}

static bool setup_option(struct hush_keeper *k, int option, char *text)
{
    switch (option) {
    case 'c':
        return setup_fd(text, &k->config_fd);
    case 'e':
        return setup_fd(text, &k->env_fd);
    case 'r':
        return setup_fd(text, &k->ready_fd);
    case 'm':
        return hush_parse_size(text, &k->memory);
    case 'C':
        k->config = text;
        return true;
    case 'u':
        k->user_name = text;
        return true;
    case 'o':
        k->options = text;
        return true;
    case 'l':
        k->log = text;
        return true;
    case 'f':
        return k->foreground = true;
    case 'n':
        return k->no_allow_other = true;
    default:
        return false;
    }
}

static bool setup_options(struct hush_keeper *k, int argc, char **argv)
{
    static const struct option options[] = {
        {"config-fd", required_argument, NULL, 'c'},
        {"env-fd", required_argument, NULL, 'e'},
        {"ready-fd", required_argument, NULL, 'r'},
        {"memory", required_argument, NULL, 'm'},
        {"config", required_argument, NULL, 'C'},
        {"user", required_argument, NULL, 'u'},
        {"log", required_argument, NULL, 'l'},
        {"foreground", no_argument, NULL, 'f'},
        {"no-allow-other", no_argument, NULL, 'n'},
        {"options", required_argument, NULL, 'o'},
        {0},
    };
    bool ok = true;
    int option;

    while (ok && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        ok = setup_option(k, option, optarg);
    if (ok && optind == argc - 1 && k->config_fd >= 0 && k->env_fd >= 0 && k->user_name != NULL) {
        k->mountpoint = argv[optind];
        return true;
    }
    (void)fputs(usage, stderr); /* who would be told that it failed? */
    return hush_keeper_fail(k, HUSH_KEEPER_USAGE, "hushfs-keeper: bad arguments");
}

/* -- Setting up -------------------------------------------------------------------------------- */

/* Standard error is the log; nothing else of the terminal is kept in the background. */
static bool setup_output(struct hush_keeper *k, int null, int log)
{
    if (dup2(null, STDIN_FILENO) < 0 || (log >= 0 && dup2(log, STDERR_FILENO) < 0))
        return false;
    return k->foreground || dup2(null, STDOUT_FILENO) >= 0;
}

static bool setup_log(struct hush_keeper *k)
{
    cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    cleanup_close int log = -1;

    k->to_syslog = k->log == NULL && !k->foreground;
    if (k->log != NULL)
        log = open(k->log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (k->log != NULL && log < 0)
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot open log '%s': %m", k->log);
    if (!k->foreground && setsid() < 0 && errno != EPERM) /* EPERM: it leads one already */
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot make a session: %m");
    if (null < 0 || !setup_output(k, null, k->to_syslog ? null : log))
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot open '/dev/null': %m");
    hush_log_open("hushfs-keeper", k->to_syslog, HUSH_LOG_INFO);
    return true;
}

static bool setup_process(struct hush_keeper *k)
{
    const ssize_t n = readlink("/proc/self/exe", k->programs, sizeof(k->programs) - 1);
    sigset_t signals;
    char *slash;

    k->programs[n < 0 ? 0 : n] = '\0';
    slash = strrchr(k->programs, '/');
    if (slash == NULL)
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED,
                                "cannot find the other programs: is /proc mounted?");
    *slash = '\0';
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &signals, NULL) != 0 ||
        (k->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC)) < 0 ||
        (k->mountinfo_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)) < 0)
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot watch signals and mounts: %m");
    if (!hush_spawn_user_find(k->user_name, &k->user))
        return hush_keeper_fail(k, HUSH_KEEPER_CONFIG,
                                "user '%s' does not exist, or is root: make it, or "
                                "set user = in [mount]",
                                k->user_name);
    return chdir("/") == 0 || hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot change to '/': %m");
}

/* The children cannot raise their limits: they get what we can have. */
static void limit_raise(int resource, rlim_t want, struct rlimit *limit)
{
    if (getrlimit((__rlimit_resource_t)resource, limit) != 0)
        *limit = (struct rlimit){0, 0};
    if (limit->rlim_max < want)
        limit->rlim_max = want;
    limit->rlim_cur = limit->rlim_max;
    if (setrlimit((__rlimit_resource_t)resource, limit) == 0)
        return;
    (void)getrlimit((__rlimit_resource_t)resource, limit); /* it did a moment ago */
    limit->rlim_cur = limit->rlim_max;
    if (setrlimit((__rlimit_resource_t)resource, limit) != 0)
        hush_warning("cannot raise a limit: %m");
}

static bool setup_limits(struct hush_keeper *k)
{
    const struct rlimit none = {0, 0};
    struct rlimit limit;
    uint64_t most;

    limit_raise(RLIMIT_NOFILE, 65536, &limit);
    limit_raise(RLIMIT_MEMLOCK, (k->memory != 0 ? k->memory : ARENA_MAX) + MIB, &limit);
    most = limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max;
    most = most < 2 * MIB ? 0 : most - MIB; /* 1 MiB for what else is locked */
    if (k->memory == 0)
        k->memory = most < ARENA_MAX ? most : ARENA_MAX;
    if (k->memory == 0 || k->memory > most)
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED,
                                "RLIMIT_MEMLOCK is %llu KiB, too low for memory = %llu KiB "
                                "and 1 MiB more: raise it (LimitMEMLOCK=)",
                                (unsigned long long)limit.rlim_max / 1024,
                                (unsigned long long)k->memory / 1024);
    return setrlimit(RLIMIT_CORE, &none) == 0 ||
           hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot forbid core dumps: %m");
}

/* No holder may cut it, which would kill the others by SIGBUS. */
int hush_keeper_memfd(const char *name, size_t size, int seals)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (!setup_raise(&fd) || ftruncate(fd, (off_t)size) != 0 ||
                    (seals != 0 && fcntl(fd, F_ADD_SEALS, seals) != 0)))
        return -1; /* the keeper ends */
    return fd;
}

static bool setup_memory(struct hush_keeper *k)
{
    k->state_fd = hush_keeper_memfd("hushfs-state", sizeof(*k->state),
                                    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    if (k->state_fd < 0)
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot make the state: %m");
    k->state = mmap(NULL, sizeof(*k->state), PROT_READ | PROT_WRITE, MAP_SHARED, k->state_fd, 0);
    if (k->state == MAP_FAILED ||
        getrandom(k->state->key, sizeof(k->state->key), 0) != (ssize_t)sizeof(k->state->key))
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot make the state: %m");
    /* What workers read they may not write; it is no loss where it cannot be sealed. */
    (void)fcntl(k->config_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
    k->state->magic = HUSH_STATE_MAGIC;
    k->state->keeper_pid = getpid();
    k->state->started_ns = hush_now_ns();
    k->state->config_generation = 1;
    k->arena_fd = hush_lockmem_create("hushfs-arena", k->memory);
    if (k->arena_fd < 0)
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot make the arena: %s",
                                strerror(-k->arena_fd));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, k->mover_fds) != 0 ||
        !setup_raise(&k->mover_fds[0]) || !setup_raise(&k->mover_fds[1]) ||
        !setup_raise(&k->arena_fd))
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot make the descriptors: %m");
    return true;
}

/* What to do about a /dev/fuse that cannot be opened. */
static const char *fuse_hint(int err)
{
    if (err == EACCES || err == EPERM)
        return " (mounting needs root, and a container --device /dev/fuse)";
    return err == ENOENT || err == ENODEV || err == ENXIO ? " (modprobe fuse)" : "";
}

static bool setup_mount(struct hush_keeper *k)
{
    char error[PATH_MAX + 160];

    k->fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (k->fuse_fd < 0 || !setup_raise(&k->fuse_fd))
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot open '/dev/fuse': %m%s",
                                fuse_hint(errno));
    if (!hush_mountpoint_mount(&k->mount, k->mountpoint, k->fuse_fd, !k->no_allow_other, error))
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "%s", error);
    memcpy(k->state->mount_path, k->mount.path, sizeof(k->mount.path));
    if (k->mount.clone_fd >= 0 && !setup_raise(&k->mount.clone_fd))
        return hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot make the descriptors: %m");
    return true;
}

static bool setup_confine(struct hush_keeper *k)
{
    return hush_spawn_confine(KEEPER_CAPABILITIES) ||
           hush_keeper_fail(k, HUSH_KEEPER_FAILED, "cannot give up privileges: %m");
}

/* Whatever else `hushfs mount` had inherited is not for us, nor for those that we start. */
static bool setup_inherited(struct hush_keeper *k)
{
    int keep[] = {STDERR_FILENO, k->config_fd, k->env_fd, k->ready_fd};
    const size_t count = sizeof(keep) / sizeof(keep[0]);

    for (size_t i = 1; i < count; i++) /* sort: there are four */
        for (size_t j = i; j > 0 && keep[j] < keep[j - 1]; j--) {
            const int swap = keep[j];

            keep[j] = keep[j - 1];
            keep[j - 1] = swap;
        }
    for (size_t i = 0; i < count; i++) {
        const unsigned first = (unsigned)(keep[i] + 1);
        const unsigned last = i + 1 < count ? (unsigned)keep[i + 1] - 1 : UINT_MAX;

        if (keep[i] >= STDERR_FILENO && first <= last)
            (void)close_range(first, last, 0); /* what is not there need not be closed */
    }
    return true;
}

bool hush_keeper_setup(struct hush_keeper *k, int argc, char **argv)
{
    /* The mount comes late: what fails before it leaves nothing behind. */
    return setup_options(k, argc, argv) && setup_inherited(k) && setup_log(k) && setup_process(k) &&
           setup_limits(k) && setup_memory(k) && setup_mount(k) && setup_confine(k);
}
