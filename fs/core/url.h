/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url.h - which URLs a configuration may name: https, or http to this machine. For option.c; pure.
 */
#ifndef HUSH_URL_H
#define HUSH_URL_H

/* NULL: fine; else what is wrong, static: "…must …". */
const char *hush_url_fault(const char *url);

#endif
