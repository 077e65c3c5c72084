/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.c - {vault://…} references into their parts. `hushfs get` and the fuzzer call it.
 *
 * The reference is cut from its end: #VERSION, then ?options, then the prefix from the path. A '#',
 * '?' or '/' that belongs to a name is written %23, %3F or %2F.
 */
#include "reference.h"

#include "core/cleanup.h"
#include "provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ERROR_SIZE = 160, SEGMENTS_MAX = 256, OPTIONS_MAX = 32 };

static const char scheme[] = "{vault://";

bool hush_reference_is(const char *text)
{
    const size_t size = strlen(text);

    return strncmp(text, scheme, sizeof(scheme) - 1) == 0 && text[size - 1] == '}';
}

/* The text of an error, with as much of the reference as fits. */
static bool fail(char error[ERROR_SIZE], const char *what, const char *text)
{
    (void)snprintf(error, ERROR_SIZE, "reference %s [%s]", what, text); /* cut, on purpose */
    return false;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    if (at == NULL)
        return -1;
    return at - digits < 16 ? (int)(at - digits) : (int)(at - digits) - 6;
}

/* Percent-decode in place; false: a '%' without two digits, or %00. */
static bool decode(char *text)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        const int high = hex_value(in[1]);
        const int low = high < 0 ? -1 : hex_value(in[2]);
        if (low < 0 || (high | low) == 0)
            return false;
        *out++ = (char)(high << 4 | low);
        in += 2;
    }
    *out = '\0';
    return true;
}

/* An instance or a type; so that user@host and host:port are refused and not ignored. */
static bool prefix_is_good(const char *prefix)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";

    return prefix[0] != '\0' && strchr(first, prefix[0]) != NULL &&
           strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(prefix);
}

static bool version_is_good(const char *version)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const size_t size = strlen(version);

    if (size == 0 || size > HUSH_VERSION_MAX || strchr(letters, version[0]) == NULL)
        return false;
    for (size_t i = 0; i < size; i++)
        if (strchr(letters, version[i]) == NULL && strchr("._-:/+=@", version[i]) == NULL)
            return false;
    return true;
}

/* "." and ".." are no names in any backend, only ways out of a folder. */
static bool resource_is_good(const char *resource)
{
    for (const char *at = resource;; at++) {
        const size_t size = strcspn(at, "/");
        if ((size == 1 && at[0] == '.') || (size == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += size;
        if (*at == '\0')
            return true;
    }
}

static bool options_add(struct hush_reference *ref, const char *name, const char *value)
{
    struct hush_reference_option *grown =
        reallocarray(ref->options, ref->option_count + 1, sizeof(*ref->options));

    if (grown == NULL)
        return false;
    ref->options = grown;
    struct hush_reference_option *option = &grown[ref->option_count++];
    option->name = strdup(name);
    option->value = strdup(value);
    return option->name != NULL && option->value != NULL;
}

static bool options_have(const struct hush_reference *ref, const char *name)
{
    for (size_t i = 0; i < ref->option_count; i++)
        if (strcmp(ref->options[i].name, name) == 0)
            return true;
    return false;
}

static bool option_name_is_good(const char *name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

    return *name != '\0' && strspn(name, good) == strlen(name);
}

/* NAME=VALUE, which is cut up. NULL: good; else what is wrong with it. */
static const char *option_parse(struct hush_reference *ref, char *pair)
{
    char *value = pair;
    const char *name = strsep(&value, "=");

    if (!option_name_is_good(name))
        return "has an option with an invalid name";
    if (value != NULL && !decode(value))
        return "has an invalid '%' escape in an option";
    if (options_have(ref, name) || ref->option_count >= OPTIONS_MAX)
        return "has an option twice, or too many";
    if (!options_add(ref, name, value == NULL ? "" : value))
        return "does not fit in memory";
    return NULL;
}

/* The same for all of query. */
static const char *options_parse(struct hush_reference *ref, char *query)
{
    const char *wrong = NULL;

    for (char *rest = query, *pair; wrong == NULL && (pair = strsep(&rest, "&")) != NULL;)
        if (*pair != '\0')
            wrong = option_parse(ref, pair);
    return wrong;
}

/* Split path, which is cut up, at its slashes; empty segments do not count. NULL: good. */
static const char *segments_split(char *path, char *segments[SEGMENTS_MAX], size_t *count)
{
    size_t used = 0;

    for (char *rest = path, *segment; (segment = strsep(&rest, "/")) != NULL;) {
        if (*segment == '\0')
            continue;
        if (used == SEGMENTS_MAX)
            return "has too many segments";
        if (!decode(segment))
            return "has an invalid '%' escape";
        segments[used++] = segment;
    }
    *count = used;
    return used == 0 ? "url has invalid path" : NULL;
}

static char *segments_join(char *const segments[], size_t count, size_t size)
{
    char *text = calloc(1, size + 1);
    char *end = text;

    for (size_t i = 0; text != NULL && i < count; i++) {
        if (i > 0)
            *end++ = '/';
        end = stpcpy(end, segments[i]);
    }
    return text;
}

/* path, which is cut up, as resource and key. NULL: good. */
static const char *path_parse(struct hush_reference *ref, char *path)
{
    const size_t size = strlen(path);
    const bool whole = path[size - 1] == '/';
    char *segments[SEGMENTS_MAX];
    size_t count = 0;
    const char *wrong = segments_split(path, segments, &count);

    if (wrong != NULL)
        return wrong;
    if (count > 1 && !whole && (ref->key = strdup(segments[--count])) == NULL)
        return "does not fit in memory";
    ref->resource = segments_join(segments, count, size);
    if (ref->resource == NULL)
        return "does not fit in memory";
    if (strlen(ref->resource) > HUSH_PATH_MAX)
        return "has a name that is too long";
    return resource_is_good(ref->resource) ? NULL : "has '.' or '..' as a name";
}

/* body: what is between "{vault://" and "}", cut up. NULL: good. */
static const char *body_parse(struct hush_reference *ref, char *body)
{
    char *version = body;
    char *query = strsep(&version, "#");
    char *path = strsep(&query, "?");
    const char *prefix = strsep(&path, "/");

    if (*prefix == '\0')
        return "url is missing host";
    if (!prefix_is_good(prefix))
        return "url has invalid host";
    if (path == NULL)
        return "url is missing path";
    if (*path == '\0')
        return "url has empty path";
    if (version != NULL && !version_is_good(version))
        return "has invalid version";
    ref->prefix = strdup(prefix);
    ref->version = version == NULL ? NULL : strdup(version);
    if (ref->prefix == NULL || (version != NULL && ref->version == NULL))
        return "does not fit in memory";
    const char *wrong = path_parse(ref, path);
    if (wrong == NULL && query != NULL)
        wrong = options_parse(ref, query);
    return wrong;
}

bool hush_reference_parse(const char *text, struct hush_reference *out, char error[ERROR_SIZE])
{
    struct hush_reference ref = {0};

    if (!hush_reference_is(text))
        return fail(error, "does not have the form {vault://PREFIX/NAME}", text);
    const size_t size = strlen(text) - (sizeof(scheme) - 1) - 1;
    cleanup_free char *body = strndup(text + sizeof(scheme) - 1, size);
    const char *wrong = body == NULL ? "does not fit in memory" : body_parse(&ref, body);
    if (wrong != NULL) {
        hush_reference_clear(&ref);
        return fail(error, wrong, text);
    }
    *out = ref;
    return true;
}

void hush_reference_clear(struct hush_reference *ref)
{
    if (ref == NULL)
        return;
    free(ref->prefix);
    free(ref->resource);
    free(ref->key);
    free(ref->version);
    for (size_t i = 0; i < ref->option_count; i++) {
        free(ref->options[i].name);
        free(ref->options[i].value);
    }
    free(ref->options);
    *ref = (struct hush_reference){0};
}
