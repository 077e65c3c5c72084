/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store_env.c - see cmd_store_env.h. `hushfs store import` calls it. Names are copied, values
 * go from locked memory to locked memory.
 */
#include "cmd_store_env.h"

#include <string.h>

enum { ENV_NAME_MAX = 255 };

struct env_reader {
    struct hush_op *op;
    const char *at, *end;
    unsigned line;
};

static enum hush_status env_refuse(const struct env_reader *reader, const char *why)
{
    return hush_fail(reader->op, HUSH_PROTOCOL, "line %u: %s", reader->line, why);
}

static bool env_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void env_skip_blanks(struct env_reader *reader)
{
    while (reader->at < reader->end && env_is_blank(*reader->at))
        reader->at++;
}

static const char *env_line_end(const struct env_reader *reader)
{
    const char *end = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));

    return end == NULL ? reader->end : end;
}

static void env_next_line(struct env_reader *reader)
{
    const char *end = env_line_end(reader);

    reader->at = end < reader->end ? end + 1 : end;
    reader->line++;
}

static enum hush_status env_name(struct env_reader *reader, char name[ENV_NAME_MAX + 1])
{
    const char *end = env_line_end(reader);
    const char *equals = memchr(reader->at, '=', (size_t)(end - reader->at));
    size_t size;

    if (equals == NULL)
        return env_refuse(reader, "not NAME=VALUE");
    size = (size_t)(equals - reader->at);
    while (size > 0 && env_is_blank(reader->at[size - 1]))
        size--;
    if (size == 0 || size > ENV_NAME_MAX || memchr(reader->at, '\0', size) != NULL)
        return env_refuse(reader, "no name, or a long one");
    memcpy(name, reader->at, size);
    name[size] = '\0';
    reader->at = equals + 1;
    return strpbrk(name, " \t'\"") == NULL ? HUSH_OK : env_refuse(reader, "a blank in the name");
}

/* To the end of the line, or to a comment behind a blank, less the blanks at the end. */
static enum hush_status env_bare(struct env_reader *reader, struct hush_secret **out)
{
    const char *begin = reader->at, *end = env_line_end(reader);

    for (const char *c = begin; c < end; c++)
        if (*c == '#' && (c == begin || env_is_blank(c[-1])))
            end = c;
    while (end > begin && env_is_blank(end[-1]))
        end--;
    return hush_secret_new(reader->op, begin, (size_t)(end - begin), out);
}

/* Where the closing quote is; NULL: there is none. */
static const char *env_closing(const struct env_reader *reader, char quote)
{
    for (const char *c = reader->at; c < reader->end; c++) {
        if (*c == quote)
            return c;
        if (quote == '"' && *c == '\\')
            c++;
    }
    return NULL;
}

static char env_unescape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    default:
        return c;
    }
}

/* What stands between double quotes, to `to`. Returns its size. */
static size_t env_double(const char *begin, const char *end, uint8_t *to)
{
    size_t size = 0;

    for (const char *c = begin; c < end; c++) {
        if (*c == '\\' && c + 1 < end && strchr("nrt\"\\$'", c[1]) != NULL && c[1] != '\0')
            to[size++] = (uint8_t)env_unescape(*++c);
        else
            to[size++] = (uint8_t)*c;
    }
    return size;
}

static enum hush_status env_quoted(struct env_reader *reader, char quote, struct hush_secret **out)
{
    const char *closing, *begin;
    uint8_t *bytes = NULL;
    enum hush_status status;

    begin = ++reader->at;
    closing = env_closing(reader, quote);
    if (closing == NULL)
        return env_refuse(reader, "a quote that does not end");
    status = hush_secret_alloc(reader->op, (size_t)(closing - begin), out, &bytes);
    if (status != HUSH_OK)
        return status;
    if (quote == '"')
        hush_secret_shrink(*out, env_double(begin, closing, bytes));
    else
        memcpy(bytes, begin, (size_t)(closing - begin));
    for (const char *c = begin; c < closing; c++)
        reader->line += *c == '\n';
    reader->at = closing + 1;
    env_skip_blanks(reader);
    if (reader->at == env_line_end(reader) || *reader->at == '#')
        return HUSH_OK;
    *out = hush_secret_unref(*out);
    return env_refuse(reader, "something follows the closing quote");
}

static enum hush_status env_variable(struct env_reader *reader, struct hush_value *value)
{
    static const char export[] = "export ";
    char name[ENV_NAME_MAX + 1];
    struct hush_secret *field = NULL;
    enum hush_status status;

    if ((size_t)(reader->end - reader->at) > sizeof(export) &&
        memcmp(reader->at, export, sizeof(export) - 1) == 0)
        reader->at += sizeof(export) - 1;
    env_skip_blanks(reader);
    status = env_name(reader, name);
    if (status != HUSH_OK)
        return status;
    env_skip_blanks(reader);
    if (reader->at < reader->end && (*reader->at == '"' || *reader->at == '\''))
        status = env_quoted(reader, *reader->at, &field);
    else
        status = env_bare(reader, &field);
    if (status == HUSH_OK)
        status = hush_value_add_field(reader->op, value, name, field);
    return status;
}

enum hush_status hush_store_env_fields(struct hush_op *op, const struct hush_secret *text,
                                       struct hush_value *out)
{
    const char *bytes = (const char *)hush_secret_bytes(text);
    struct env_reader reader = {
        .op = op, .at = bytes, .end = bytes + hush_secret_size(text), .line = 1};
    struct hush_value value = {0};
    enum hush_status status = HUSH_OK;

    while (status == HUSH_OK && reader.at < reader.end) {
        env_skip_blanks(&reader);
        if (reader.at < reader.end && *reader.at != '\n' && *reader.at != '#')
            status = env_variable(&reader, &value);
        if (status == HUSH_OK)
            env_next_line(&reader);
    }
    if (status == HUSH_OK)
        *out = value;
    else
        hush_value_clear(&value);
    return status;
}
