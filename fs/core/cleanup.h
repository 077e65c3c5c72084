/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h - release at the end of the scope: `cleanup_free char *p = …;`. Hand over with
 * hush_steal(&p). goto is for what these cannot do.
 */
#ifndef HUSH_CLEANUP_H
#define HUSH_CLEANUP_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void hush_cleanup_free_(void *p)
{
    free(*(void **)p);
}

static inline void hush_cleanup_close_(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing was written through it */
}

static inline void hush_cleanup_file_(FILE **file)
{
    if (*file != NULL)
        (void)fclose(*file); /* opened for reading */
}

static inline void hush_cleanup_unlock_(pthread_mutex_t **mutex)
{
    pthread_mutex_unlock(*mutex);
}

#define cleanup_free  __attribute__((cleanup(hush_cleanup_free_)))
#define cleanup_close __attribute__((cleanup(hush_cleanup_close_)))
#define cleanup_file  __attribute__((cleanup(hush_cleanup_file_)))

#define HUSH_CONCAT_(a, b) a##b
#define HUSH_CONCAT(a, b)  HUSH_CONCAT_(a, b)

/* Hold mutex until the end of the scope. */
#define hush_lock_scope(mutex)                                                                     \
    __attribute__((unused, cleanup(hush_cleanup_unlock_))) pthread_mutex_t *HUSH_CONCAT(           \
        lock_, __LINE__) = hush_lock_(mutex)

static inline pthread_mutex_t *hush_lock_(pthread_mutex_t *mutex)
{
    pthread_mutex_lock(mutex);
    return mutex;
}

/* The pointer at *p, which is NULL afterwards. */
#define hush_steal(p)                                                                              \
    ({                                                                                             \
        __typeof__(p) p_ = (p);                                                                    \
        __typeof__(*p_) v_ = *p_;                                                                  \
        *p_ = NULL;                                                                                \
        v_;                                                                                        \
    })

#endif
