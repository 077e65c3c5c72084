/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wipealloc.h - malloc and friends whose free wipes, for the heaps of libraries that see secrets:
 * jansson, libcurl, OpenSSL (for all others: wipefree.c). What comes from here must go back here,
 * never to free(3): the size stands in a header before the block, and a block without one aborts.
 *
 * Threads: any.
 */
#ifndef HUSH_WIPEALLOC_H
#define HUSH_WIPEALLOC_H

#include <stdbool.h>
#include <stddef.h>

void *hush_wipe_malloc(size_t size);
void *hush_wipe_calloc(size_t count, size_t size);
void *hush_wipe_realloc(void *block, size_t size); /* never in place; size 0 frees */
char *hush_wipe_strdup(const char *text);
void hush_wipe_free(void *block); /* NULL ok */

size_t hush_wipe_size(const void *block); /* as asked for; 0 for NULL */

/*
 * Make OpenSSL use them. Call before any other OpenSSL call and before curl_global_init(); again is
 * harmless. False: too late, OpenSSL has allocated already.
 */
bool hush_wipe_openssl_init(void);

#endif
