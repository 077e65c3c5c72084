/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - numbers, durations and the like from text: all of the text or nothing, no signs, no
 * spaces, no overflow. The only place that makes integers of text; option.c and others call it.
 */
#include "option.h"

#include <string.h>

struct parse_unit {
    const char *suffix;
    uint64_t factor;
};

/* The digits at the start of *text; *text is left behind them. False: none, or above max. */
static bool parse_digits(const char **text, uint64_t max, uint64_t *out)
{
    const char *p = *text;
    uint64_t value = 0;

    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        const uint64_t digit = (uint64_t)(*p - '0');

        if (value > (max - digit) / 10 || digit > max)
            return false;
        value = value * 10 + digit;
    }
    *text = p;
    *out = value;
    return true;
}

/* Digits and one of the units (the last row has no suffix). */
static bool parse_scaled(const char *text, const struct parse_unit *units, uint64_t max,
                         uint64_t *out)
{
    uint64_t value;

    if (!parse_digits(&text, max, &value))
        return false;
    for (; units->suffix != NULL; units++) {
        if (strcmp(text, units->suffix) != 0)
            continue;
        if (value > max / units->factor)
            return false;
        *out = value * units->factor;
        return true;
    }
    return false;
}

bool hush_parse_u64(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value;

    if (!parse_digits(&text, max, &value) || *text != '\0')
        return false;
    *out = value;
    return true;
}

bool hush_parse_duration_ms(const char *text, uint32_t *out)
{
    static const struct parse_unit units[] = {
        {"ms", 1},      {"", 1000},      {"s", 1000}, {"m", 60000},
        {"h", 3600000}, {"d", 86400000}, {NULL, 0},
    };
    uint64_t value;

    if (!parse_scaled(text, units, UINT32_MAX, &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

bool hush_parse_size(const char *text, uint64_t *out)
{
    static const struct parse_unit units[] = {
        {"", 1}, {"k", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0},
    };

    return parse_scaled(text, units, UINT64_MAX, out);
}

bool hush_parse_bool(const char *text, bool *out)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {
        {"yes", true}, {"true", true},   {"on", true},   {"1", true},
        {"no", false}, {"false", false}, {"off", false}, {"0", false},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i].text) == 0) {
            *out = words[i].value;
            return true;
        }
    }
    return false;
}

bool hush_parse_mode(const char *text, uint32_t *out)
{
    const size_t size = strspn(text, "01234567");
    uint32_t mode = 0;

    if (size == 0 || size > 4 || text[size] != '\0')
        return false;
    for (; *text != '\0'; text++)
        mode = mode * 8 + (uint32_t)(*text - '0');
    if (mode > 0777)
        return false;
    *out = mode;
    return true;
}
