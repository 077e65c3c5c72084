/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sanitizer.c - what AddressSanitizer and ThreadSanitizer are told in our programs, in builds with
 * HUSH_SANITIZE only: the keeper gives its children no environment to say it in.
 *
 * handle_segv=0: tests end workers by SIGSEGV, which is no finding; one of the worker's own ends it
 * the same way, and the keeper's log tells. report_thread_leaks=0: ThreadSanitizer does not know
 * pthread_clockjoin_np(), and a worker does not wait for a provider that does not come back.
 */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=1:handle_segv=0";
}

const char *__tsan_default_options(void)
{
    return "halt_on_error=1:report_thread_leaks=0:handle_segv=0";
}
