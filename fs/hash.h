/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h - SipHash-2-4 (https://www.aumasson.jp/siphash/siphash.pdf): node ids are a keyed hash of
 * path and version, so that every worker of a mount finds the same ones and nobody outside can aim
 * for a collision. Pure.
 */
#ifndef HUSH_HASH_H
#define HUSH_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hush_siphash(const uint64_t key[2], const void *bytes, size_t size);

#endif
