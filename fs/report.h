/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what the files of .hushfs say: names, states, times and counts, never a value. With
 * fs->lock held.
 */
#ifndef HUSH_REPORT_H
#define HUSH_REPORT_H

#include "core/text.h"
#include "fs.h"

void hush_report_json(struct hush_fs *fs, struct hush_text *text);
void hush_report_text(struct hush_fs *fs, struct hush_text *text);
void hush_report_metrics(struct hush_fs *fs, struct hush_text *text);

#endif
