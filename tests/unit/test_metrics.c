/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_metrics.c - counters and their text.
 */
#include "core/metrics.h"
#include "unit.h"

#include <pthread.h>
#include <string.h>

static void counters_count(void **state)
{
    (void)state; /* none */
    assert_int_equal(hush_metric_get(HUSH_METRIC_OPENS), 0);
    hush_metric_add(HUSH_METRIC_OPENS, 1);
    hush_metric_add(HUSH_METRIC_OPENS, 41);
    assert_int_equal(hush_metric_get(HUSH_METRIC_OPENS), 42);
    assert_int_equal(hush_metric_get(HUSH_METRIC_REPLAYED), 0);
    hush_metric_add(HUSH_METRIC_COUNT, 1); /* no counter: nothing happens */
    assert_int_equal(hush_metric_get(HUSH_METRIC_COUNT), 0);
    assert_string_equal(hush_metric_name(HUSH_METRIC_OPENS), "hushfs_opens_total");
    assert_string_equal(hush_metric_name(HUSH_METRIC_COUNT), "");
    assert_string_equal(hush_metric_help(HUSH_METRIC_OPENS), "files opened");
    assert_string_equal(hush_metric_help(HUSH_METRIC_COUNT), "");
}

static void *count(void *ctx)
{
    (void)ctx; /* none */
    for (int i = 0; i < 10000; i++)
        hush_metric_add(HUSH_METRIC_FETCHES, 1);
    return NULL;
}

static void no_count_is_lost_between_threads(void **state)
{
    pthread_t threads[4];

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(hush_metric_get(HUSH_METRIC_FETCHES), 40000);
}

static void the_text_has_every_counter(void **state)
{
    char text[8192], name[64];
    size_t size = hush_metrics_write(text, sizeof(text) - 1);
    unsigned newlines = 0;

    (void)state; /* none */
    assert_int_not_equal(size, 0);
    text[size] = '\0';
    assert_non_null(strstr(text, "# HELP hushfs_opens_total files opened\n"
                                 "# TYPE hushfs_opens_total counter\n"
                                 "hushfs_opens_total 42\n"));
    for (int i = 0; i < HUSH_METRIC_COUNT; i++) {
        (void)snprintf(name, sizeof(name), "\n%s ", hush_metric_name((enum hush_metric)i));
        assert_non_null(strstr(text, name));
    }
    for (size_t i = 0; i < size; i++)
        newlines += text[i] == '\n';
    assert_int_equal(newlines, 3 * HUSH_METRIC_COUNT);
    assert_int_equal(text[size - 1], '\n');
}

static void too_little_room_gives_nothing(void **state)
{
    char text[8192];
    size_t size = hush_metrics_write(text, sizeof(text));

    (void)state;                                /* none */
    for (size_t room = 0; room <= size; room++) /* one more for the NUL of snprintf */
        assert_int_equal(hush_metrics_write(text, room), 0);
    assert_int_equal(hush_metrics_write(text, size + 1), size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_count),
        cmocka_unit_test(no_count_is_lost_between_threads),
        cmocka_unit_test(the_text_has_every_counter),
        cmocka_unit_test(too_little_room_gives_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
