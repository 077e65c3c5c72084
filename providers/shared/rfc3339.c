/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rfc3339.c - see rfc3339.h. By hand: strptime(3) knows no fraction, takes spaces, and asks the
 * locale.
 */
#include "rfc3339.h"

#include <stddef.h>
#include <stdint.h>

/* The numbers of a date in its text, each followed by a byte of its own. */
struct date_part {
    int digits, least, most;
    const char *after;
};

enum { DATE_YEAR, DATE_MONTH, DATE_DAY, DATE_HOUR, DATE_MINUTE, DATE_SECOND, DATE_PARTS };

/* clang-format off */
static const struct date_part date_parts[DATE_PARTS] = {
    {4, 1, 9999, "-"}, {2, 1, 12, "-"}, {2, 1, 31, "Tt "}, {2, 0, 23, ":"}, {2, 0, 59, ":"}, {2, 0, 60, ""},
};
/* clang-format on */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_one_of(char c, const char *set)
{
    for (; *set != '\0'; set++)
        if (c == *set)
            return true;
    return false;
}

/* What part says, at *text, which moves behind it. */
static bool date_number(const char **text, const struct date_part *part, int *out)
{
    int value = 0;

    for (int i = 0; i < part->digits; i++, (*text)++) {
        if (!is_digit(**text))
            return false;
        value = value * 10 + (**text - '0');
    }
    if (value < part->least || value > part->most)
        return false;
    if (part->after[0] != '\0' && !is_one_of(*(*text)++, part->after))
        return false;
    *out = value;
    return true;
}

static bool date_fraction(const char **text)
{
    if (**text != '.')
        return true;
    if (!is_digit(*++*text))
        return false;
    while (is_digit(**text))
        (*text)++;
    return true;
}

/* "Z", "+02:00": seconds to take away. */
static bool date_offset(const char **text, int *out)
{
    static const struct date_part hours = {2, 0, 23, ":"}, minutes = {2, 0, 59, ""};
    const char sign = *(*text)++;
    int hour, minute;

    *out = 0;
    if (sign == 'Z' || sign == 'z')
        return true;
    if ((sign != '+' && sign != '-') || !date_number(text, &hours, &hour) ||
        !date_number(text, &minutes, &minute))
        return false;
    *out = (hour * 60 + minute) * 60 * (sign == '-' ? -1 : 1);
    return true;
}

static int date_month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (leap && month == 2 ? 1 : 0);
}

/* Since 1970-01-01, by years that begin in March, so that the odd day comes last. */
static int64_t date_days(const int part[DATE_PARTS])
{
    const int64_t year = part[DATE_YEAR] - (part[DATE_MONTH] <= 2);
    const int64_t month = (part[DATE_MONTH] + 9) % 12; /* 0: March */

    return year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 +
           part[DATE_DAY] - 1 - 719468;
}

bool hush_rfc3339(const char *text, time_t *out)
{
    int part[DATE_PARTS], offset;

    if (text == NULL)
        return false;
    for (size_t i = 0; i < DATE_PARTS; i++)
        if (!date_number(&text, &date_parts[i], &part[i]))
            return false;
    if (part[DATE_DAY] > date_month_days(part[DATE_YEAR], part[DATE_MONTH]) ||
        !date_fraction(&text) || !date_offset(&text, &offset) || *text != '\0')
        return false;
    if (part[DATE_SECOND] == 60)
        part[DATE_SECOND] = 59;
    part[DATE_MINUTE] += part[DATE_HOUR] * 60;
    part[DATE_SECOND] += part[DATE_MINUTE] * 60;
    *out = (time_t)(date_days(part) * 86400 + part[DATE_SECOND] - offset);
    return true;
}
