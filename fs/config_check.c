/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_check.c - what a single value of the configuration may be, beyond its type: called by
 * config_read.c for each key that was given.
 */
#include "config_int.h"

#include "core/cleanup.h"
#include "name.h"
#include "utf8.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

enum {
    DEADLINE_MAX_MS = 10000,
    TIMEOUT_MAX_MS = 60000,
    CONCURRENCY_MAX = 256,
    MEMORY_MIN = 1 << 20,
    DIRECTORY_OWNER_MODE = 0700,
    PASSWD_SIZE_MAX = 1 << 20,
};

bool hush_check_find_user(const char *name, uid_t *uid)
{
    uint64_t number;

    if (hush_parse_u64(name, UINT32_MAX - 1, &number)) {
        *uid = (uid_t)number;
        return true;
    }
    for (size_t size = 1024; *name != '\0' && size <= PASSWD_SIZE_MAX; size *= 4) {
        cleanup_free char *buf = malloc(size);
        struct passwd entry, *found = NULL;
        if (buf == NULL)
            return false;
        if (getpwnam_r(name, &entry, buf, size, &found) == ERANGE)
            continue;
        *uid = found != NULL ? found->pw_uid : 0;
        return found != NULL;
    }
    return false;
}

/* -- [mount] ----------------------------------------------------------------------------------- */

/* From the command line comes what no file could say, and no text could hand on. */
static bool value_is_writable(const char *value)
{
    const size_t size = strlen(value);

    for (size_t i = 0; i < size; i += hush_utf8_sequence(value + i, size - i))
        if (hush_utf8_sequence(value + i, size - i) == 0 || (unsigned char)value[i] < 0x20)
            return false;
    return size > 0 && value[0] != ' ' && value[size - 1] != ' ';
}

static const char *check_path(const struct hush_reader *reader)
{
    const char *path = reader->config->mount.path;

    if (path == NULL)
        return "'path' must not be empty";
    if (path[strspn(path, "/")] == '\0')
        return "'path' must not be the root directory";
    if (!value_is_writable(path))
        return "'path' must have no control characters, and no blanks at its ends";
    return NULL;
}

static const char *check_user(const struct hush_reader *reader)
{
    const char *user = reader->config->mount.user;
    uid_t uid = 1;

    if (*user == '\0' || (reader->host && !hush_check_find_user(user, &uid)))
        return "'user' must be a user of this system, or a uid";
    return uid == 0 ? "'user' must not be root: the mount is served without any rights" : NULL;
}

static const char *check_deadline(const struct hush_reader *reader)
{
    const uint32_t deadline_ms = reader->config->mount.deadline_ms;

    return deadline_ms > 0 && deadline_ms <= DEADLINE_MAX_MS
               ? NULL
               : "'deadline' must be more than 0 and at most 10s";
}

static uint64_t machine_memory(void)
{
    struct sysinfo info;

    return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
}

static const char *check_memory(const struct hush_reader *reader)
{
    const uint64_t memory = reader->config->mount.memory;

    if (memory != 0 && memory < MEMORY_MIN)
        return "'memory' must be 0 or at least 1M";
    return reader->host && memory > machine_memory()
               ? "'memory' must not be more than this machine has"
               : NULL;
}

/* clang-format off */
static const struct {
    const char *key;
    const char *(*check)(const struct hush_reader *reader);
} mount_checks[] = {
    {"path", check_path}, {"user", check_user}, {"deadline", check_deadline}, {"memory", check_memory},
};
/* clang-format on */

const char *hush_check_mount(const struct hush_reader *reader, const char *key)
{
    for (size_t i = 0; i < sizeof(mount_checks) / sizeof(mount_checks[0]); i++)
        if (strcmp(mount_checks[i].key, key) == 0)
            return mount_checks[i].check(reader);
    return NULL;
}

/* -- [provider/NAME] and [path/GLOB] ----------------------------------------------------------- */

const char *hush_check_instance(const struct hush_instance_config *instance, const char *key)
{
    if (strcmp(key, "concurrency") == 0 &&
        (instance->concurrency == 0 || instance->concurrency > CONCURRENCY_MAX))
        return "'concurrency' must be 1 to 256";
    if (strcmp(key, "timeout") == 0 &&
        (instance->timeout_ms == 0 || instance->timeout_ms > TIMEOUT_MAX_MS))
        return "'timeout' must be more than 0 and at most 60s";
    return NULL;
}

const char *hush_check_settings(const struct hush_settings *settings, const char *key)
{
    if (strcmp(key, "dir_mode") == 0 &&
        (settings->dir_mode & DIRECTORY_OWNER_MODE) != DIRECTORY_OWNER_MODE)
        return "'dir_mode' must begin with 7: directories belong to the serving user, who renames "
               "in them";
    return NULL;
}

const char *hush_check_instance_name(const char *name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t size = strlen(name);

    if (strcmp(name, ".hushfs") == 0)
        return "'.hushfs' is the name of the mount's own directory";
    if (size == 0 || strspn(name, good) != size || strchr("._-", name[0]) != NULL)
        return "an instance's name is made of a-z, 0-9, '.', '_' and '-', and begins with a letter "
               "or digit";
    return size > HUSH_NAME_MAX ? "an instance's name is at most 255 bytes" : NULL;
}

/* One component of a glob. Without a wildcard it must be a name as it is shown, or never match. */
static bool component_is_good(const char *component, size_t size)
{
    char name[HUSH_NAME_MAX + 1], raw[HUSH_NAME_MAX + 1];

    if (size == 0 || size > HUSH_NAME_MAX || memmem(component, size, "***", 3) != NULL)
        return false;
    if (memchr(component, '*', size) != NULL || memchr(component, '?', size) != NULL)
        return true;
    memcpy(name, component, size);
    name[size] = '\0';
    return strcmp(name, ".json") == 0 || strcmp(name, ".value") == 0 || hush_name_raw(name, raw);
}

const char *hush_check_glob(const char *glob)
{
    if (strchr(glob, '/') == NULL && strstr(glob, "**") == NULL)
        return "it has no '/': it is written INSTANCE/REST, for example INSTANCE/**";
    if (strlen(glob) > HUSH_PATH_MAX)
        return "it is longer than 2048 bytes";
    for (const char *at = glob;; at++) {
        const size_t size = strcspn(at, "/");
        if (!component_is_good(at, size))
            return "each part between slashes is a name as it is shown, or has '*', '?' or '**' in "
                   "it";
        at += size;
        if (*at == '\0')
            return NULL;
    }
}

/* That a name is a field only the backend knows, but for the one that every map has. */
const char *hush_check_rule_key(const char *glob, const char *key)
{
    const char *last = strrchr(glob, '/');

    if (last == NULL || strcmp(last, "/.json") != 0 || hush_config_is_access(key))
        return NULL;
    return "owner, group, mode and page_cache alone are a field's own: all else belongs to its "
           "secret, which is fetched as one";
}

/* Is there a rule by which path, a name, is a secret that is shown as a directory? */
static bool is_map(const struct hush_config *config, const char *path)
{
    cleanup_free char *name = strndup(path, strcspn(path, "/"));
    const struct hush_instance_config *instance =
        name == NULL ? NULL : hush_config_instance(config, name);
    struct hush_settings settings;
    unsigned set = 0;

    for (size_t i = 0; i < config->rule_count; i++)
        if (strcmp(config->rules[i].glob, path) == 0)
            set |= config->rules[i].set;
    for (unsigned i = 0; hush_settings_options[i].name != NULL; i++) /* these a folder has, too */
        if (strcmp(hush_settings_options[i].name, "group") == 0 ||
            strcmp(hush_settings_options[i].name, "dir_mode") == 0)
            set &= ~(1u << i);
    if (set == 0 || instance == NULL)
        return false;
    hush_config_settings(config, instance, path, &settings);
    return settings.as == HUSH_AS_DIRECTORY;
}

/* A key of rule that a field cannot have; NULL: none. */
static const char *key_of_secret(const struct hush_rule *rule)
{
    for (unsigned i = 0; hush_settings_options[i].name != NULL; i++)
        if ((rule->set & 1u << i) != 0 && !hush_config_is_access(hush_settings_options[i].name))
            return hush_settings_options[i].name;
    return rule->param_count > 0 ? "param." : NULL;
}

void hush_config_warn(const struct hush_config *config, hush_config_error_fn *warn, void *ctx)
{
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct hush_rule *rule = &config->rules[i];
        const char *slash = strrchr(rule->glob, '/'), *key = key_of_secret(rule);
        cleanup_free char *secret =
            slash == NULL ? NULL : strndup(rule->glob, (size_t)(slash - rule->glob));
        char text[HUSH_CONFIG_TEXT_MAX];

        if (key == NULL || secret == NULL || !is_map(config, secret))
            continue;
        (void)snprintf(text, sizeof(text),
                       "[path/%s]: if it is a field of '%.100s', '%s' does nothing: a secret is "
                       "fetched as one",
                       rule->glob, secret, key); /* cut, on purpose */
        warn(ctx, rule->file, rule->line, text);
    }
}

void hush_glob_rank(const char *glob, size_t *prefix, size_t *literals)
{
    *prefix = strcspn(glob, "*?");
    *literals = 0;
    for (; *glob != '\0'; glob++)
        *literals += *glob != '*' && *glob != '?';
}
