/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_status.c - `hushfs status`: what a mount says of itself in .hushfs/status, as it is.
 */
#include "cmd.h"
#include "control.h"
#include "core/cleanup.h"
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int status_copy(const char *mountpoint, bool json)
{
    char path[PATH_MAX + 32], text[16384];
    ssize_t size;

    (void)snprintf(path, sizeof(path), "%s/%s/%s", mountpoint, HUSH_CONTROL_DIR,
                   json ? "status.json" : "status");
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hush_cmd_fail_control(path);
    while ((size = read(fd, text, sizeof(text))) > 0)
        (void)fwrite(text, 1, (size_t)size, stdout); /* main() looks at ferror() */
    return size == 0 ? HUSH_CMD_DONE : hush_cmd_fail(HUSH_CMD_FAILED, "'%s': %m", path);
}

/* Text: one after the other. JSON: an array. The first failure is the exit status. */
static int status_all(const struct hush_mounts *mounts, bool json)
{
    int first = mounts->count > 0 ? HUSH_CMD_DONE : HUSH_CMD_NOT_FOUND;

    if (json)
        (void)fputs("[", stdout);
    for (size_t i = 0; i < mounts->count; i++) {
        if (i > 0)
            (void)fputs(json ? "," : "\n", stdout);
        const int status = status_copy(mounts->paths[i], json);
        if (status != HUSH_CMD_DONE && json)
            (void)fputs("null", stdout);
        if (first == HUSH_CMD_DONE)
            first = status;
    }
    if (json)
        (void)fputs("]\n", stdout);
    if (mounts->count == 0)
        (void)hush_cmd_fail(0, "there is no hushfs mount");
    return first;
}

int hush_cmd_status_show(const struct hush_args *args)
{
    struct hush_mounts mounts;
    char mountpoint[PATH_MAX];
    int status;

    if (!hush_mounts_read(&mounts))
        return hush_cmd_fail(HUSH_CMD_FAILED, "cannot read /proc/self/mountinfo: %m");
    if (args->count == 0)
        status = status_all(&mounts, args->json);
    else
        status = hush_cmd_find_mount(&mounts, args->names[0], mountpoint);
    if (args->count > 0 && status == HUSH_CMD_DONE)
        status = status_copy(mountpoint, args->json);
    hush_mounts_free(&mounts);
    return status;
}
