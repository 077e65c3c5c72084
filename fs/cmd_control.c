/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_control.c - `hushfs refresh` and `hushfs reload`: what a mount is asked through its control
 * file (control.h).
 */
#include "cmd.h"
#include "control.h"
#include "core/cleanup.h"
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define OPTION "-m" /* how refresh is told a mount */

static int control_open(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Ask; what: for messages. The exit status. */
static int control_ask(const char *mountpoint, unsigned long request, struct hush_control *control,
                       const char *what)
{
    char path[PATH_MAX + 32];

    (void)snprintf(path, sizeof(path), "%s/%s", mountpoint, HUSH_CONTROL_FILE);
    cleanup_close int fd = control_open(path);
    if (fd < 0)
        return hush_cmd_fail_control(path);
    if (ioctl(fd, request, control) != 0)
        return hush_cmd_fail(errno == EACCES || errno == EPERM ? HUSH_CMD_DENIED : HUSH_CMD_FAILED,
                             "%s: '%s': %m", what, path);
    if (control->error == HUSH_OK)
        return HUSH_CMD_DONE;
    control->text[HUSH_CONTROL_TEXT_MAX - 1] = '\0';
    const enum hush_status status = (unsigned)control->error < HUSH_STATUS_COUNT
                                        ? (enum hush_status)control->error
                                        : HUSH_BACKEND;
    return hush_cmd_fail(hush_cmd_status(status), "%s: %s", what,
                         control->text[0] != '\0' ? control->text : hush_status_text(status));
}

/* The mount of name, or the only one, in out; how: how a name is given. The exit status. */
static int mount_choose(const struct hush_mounts *mounts, const char *name, const char *how,
                        char out[PATH_MAX])
{
    if (name == NULL && mounts->count == 0)
        return hush_cmd_fail(HUSH_CMD_NOT_FOUND, "there is no hushfs mount");
    if (name == NULL && mounts->count > 1)
        return hush_cmd_fail(HUSH_CMD_USAGE, "there are %zu hushfs mounts: say which, with %s",
                             mounts->count, how);
    if (name == NULL) {
        (void)snprintf(out, PATH_MAX, "%s", mounts->paths[0]);
        return HUSH_CMD_DONE;
    }
    return hush_cmd_find_mount(mounts, name, out);
}

/* The mount that path leads to from here, by name and if need be by where its links lead. */
static const char *path_mount(const struct hush_mounts *mounts, const char *path, char *real)
{
    const char *mountpoint = path[0] == '/' ? hush_mounts_find(mounts, path) : NULL;

    (void)snprintf(real, PATH_MAX, "%s", path);
    if (mountpoint != NULL || !hush_mounts_resolve_parent(path, real))
        return mountpoint;
    return hush_mounts_find(mounts, real);
}

/* chosen: of -m, or NULL. A path that leads to no mount from here is one below the only mount. */
static int refresh_one(const struct hush_mounts *mounts, const char *chosen, const char *path)
{
    struct hush_control control = {0};
    char real[PATH_MAX], only[PATH_MAX];
    const bool absolute = path[0] == '/';
    const char *mountpoint = absolute || chosen == NULL ? path_mount(mounts, path, real) : NULL;
    const char *below = path;

    if (mountpoint != NULL) {
        below = real + strlen(mountpoint);
        below += strspn(below, "/");
    } else if (absolute) {
        return hush_cmd_fail(HUSH_CMD_NOT_FOUND, "'%s' is not below a hushfs mount", path);
    } else if (chosen == NULL) {
        const int status = mount_choose(mounts, NULL, OPTION, only);
        if (status != HUSH_CMD_DONE)
            return status;
    }
    if (strlen(below) >= sizeof(control.path))
        return hush_cmd_fail(HUSH_CMD_USAGE, "'%s': the path is too long", path);
    memcpy(control.path, below, strlen(below) + 1);
    if (mountpoint == NULL)
        mountpoint = chosen == NULL ? only : chosen;
    return control_ask(mountpoint, HUSH_CONTROL_REFRESH, &control, path);
}

int hush_cmd_refresh(const struct hush_args *args)
{
    struct hush_mounts mounts;
    char mountpoint[PATH_MAX] = "";
    int first = HUSH_CMD_DONE;

    if (!hush_mounts_read(&mounts))
        return hush_cmd_fail(HUSH_CMD_FAILED, "cannot read /proc/self/mountinfo: %m");
    if (args->mountpoint != NULL)
        first = mount_choose(&mounts, args->mountpoint, OPTION, mountpoint);
    if (first == HUSH_CMD_DONE) {
        for (int i = 0; i < args->count; i++) {
            const int status =
                refresh_one(&mounts, args->mountpoint == NULL ? NULL : mountpoint, args->names[i]);
            if (first == HUSH_CMD_DONE)
                first = status; /* the others are tried all the same */
        }
    }
    hush_mounts_free(&mounts);
    return first;
}

int hush_cmd_reload(const struct hush_args *args)
{
    struct hush_control control = {0};
    struct hush_mounts mounts;
    char mountpoint[PATH_MAX];

    if (!hush_mounts_read(&mounts))
        return hush_cmd_fail(HUSH_CMD_FAILED, "cannot read /proc/self/mountinfo: %m");
    int status =
        mount_choose(&mounts, args->count > 0 ? args->names[0] : NULL, "MOUNTPOINT", mountpoint);
    if (status == HUSH_CMD_DONE)
        status = control_ask(mountpoint, HUSH_CONTROL_RELOAD, &control, mountpoint);
    hush_mounts_free(&mounts);
    return status;
}
