/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.c - see child.h. Called by keeper.c, which has one thread.
 */
#include "child.h"

#include "core/log.h"
#include "core/option.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool user_look_up(const char *name, struct hush_spawn_user *user)
{
    const struct passwd *pw = getpwnam(name);
    uint64_t uid;

    user->group_count = 0;
    if (pw == NULL) {
        if (!hush_parse_u64(name, UINT32_MAX - 1, &uid))
            return false;
        user->uid = (uid_t)uid; /* only other machines may know it */
        user->gid = (gid_t)uid;
        pw = getpwuid(user->uid);
    }
    if (pw == NULL)
        return true;
    user->uid = pw->pw_uid;
    user->gid = pw->pw_gid;
    user->group_count = HUSH_SPAWN_GROUPS;
    return getgrouplist(pw->pw_name, pw->pw_gid, user->groups, &user->group_count) >= 0;
}

/* In a child: what looks users up is code of others, may go to the network, and is large. */
bool hush_spawn_user_find(const char *name, struct hush_spawn_user *user)
{
    struct hush_spawn_user found;
    int status, fds[2];
    ssize_t n;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    pid = fork();
    if (pid == 0) {
        memset(&found, 0, sizeof(found));
        /* Less than PIPE_BUF: all or nothing, and it does not wait for a reader. */
        _exit(user_look_up(name, &found) && write(fds[1], &found, sizeof(found)) > 0 ? 0 : 1);
    }
    (void)close(fds[1]); /* nothing is written here */
    n = read(fds[0], &found, sizeof(found));
    (void)close(fds[0]); /* read to the end */
    if (pid < 0 || waitpid(pid, &status, 0) != pid || n != (ssize_t)sizeof(found) || found.uid == 0)
        return false;
    *user = found;
    return true;
}

static bool spawn_write(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

    if (fd >= 0)
        (void)close(fd); /* proc has taken the text, or not, at write */
    return n >= 0;
}

/* What exec can ever give back. */
static bool spawn_bound(uint64_t keep)
{
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if ((keep >> cap & 1) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return false;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0;
}

/* Keep these, as far as we have them: in containers some are missing. */
static bool spawn_capabilities(uint64_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    data[0].effective = data[0].permitted &= (uint32_t)keep;
    data[1].effective = data[1].permitted &= (uint32_t)(keep >> 32);
    data[0].inheritable = data[1].inheritable = 0;
    return syscall(SYS_capset, &header, data) == 0;
}

bool hush_spawn_confine(uint64_t capabilities)
{
    (void)spawn_write("/proc/self/oom_score_adj", "-900"); /* not allowed everywhere, not needed */
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && spawn_bound(capabilities) &&
           spawn_capabilities(capabilities);
}

/* -- In the child ------------------------------------------------------------------------------ */

static bool child_descriptors(const struct hush_spawn *spawn)
{
    for (int i = 0; i < HUSH_SPAWN_FDS; i++) {
        if (spawn->fds[i] < 0)
            (void)close(HUSH_SPAWN_FIRST + i); /* closed already: as well */
        else if (dup2(spawn->fds[i], HUSH_SPAWN_FIRST + i) < 0)
            return false;
    }
    if (spawn->output_fd >= 0 &&
        (dup2(spawn->output_fd, STDOUT_FILENO) < 0 || dup2(spawn->output_fd, STDERR_FILENO) < 0))
        return false;
    return close_range(HUSH_SPAWN_FIRST + HUSH_SPAWN_FDS, UINT_MAX, 0) == 0;
}

/* The bounding set needs CAP_SETPCAP, so it goes before the user does. */
static bool child_become(const struct hush_spawn_user *user)
{
    return spawn_bound(0) && setgroups((size_t)user->group_count, user->groups) == 0 &&
           setresgid(user->gid, user->gid, user->gid) == 0 &&
           setresuid(user->uid, user->uid, user->uid) == 0 && spawn_capabilities(0) &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* After the change of user, which forgets it. The parent may be gone already. */
static bool child_die_with(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
}

/* All that a child gets of our environment. */
static void child_environment(char *env[4])
{
    static const char *const names[] = {"PATH=", "LANG=", "TZ="};
    size_t count = 0;

    for (char **line = environ; *line != NULL; line++)
        for (size_t i = 0; i < 3 && count < 3; i++)
            if (strncmp(*line, names[i], strlen(names[i])) == 0)
                env[count++] = *line;
    env[count] = NULL;
}

__attribute__((noreturn)) static void child_run(const struct hush_spawn *spawn, pid_t parent)
{
    char *env[4];
    sigset_t none;

    child_environment(env);
    sigemptyset(&none); /* SIGPIPE stays ignored: no write of a child may end it */
    if (spawn->tell != NULL)
        atomic_store(spawn->tell, getpid());
    (void)setsid(); /* the terminal's signals are for the keeper */
    (void)umask(077);
    (void)spawn_write("/proc/self/oom_score_adj", "0"); /* raising it is always allowed */
    if (child_descriptors(spawn) && (spawn->user == NULL || child_become(spawn->user)) &&
        child_die_with(parent) && sigprocmask(SIG_SETMASK, &none, NULL) == 0)
        (void)execve(spawn->path, spawn->argv, env);
    hush_error("cannot start '%s': %m", spawn->path);
    _exit(HUSH_SPAWN_FAILED);
}

pid_t hush_spawn(const struct hush_spawn *spawn)
{
    const pid_t parent = getpid();
    const pid_t pid = fork();

    if (pid == 0)
        child_run(spawn, parent);
    return pid;
}
