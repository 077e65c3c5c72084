/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store_env.h - files of variables, as `docker run --env-file`, Compose and shells read them.
 * Pure.
 *
 *     # comment                  NAME=value # comment
 *     NAME=value                 NAME='as it stands, over lines, too'
 *     export NAME=value          NAME="with \n, \t, \", \\ and \$, over lines, too"
 *
 * Nothing is expanded: a '$' is a '$'.
 */
#ifndef HUSH_CMD_STORE_ENV_H
#define HUSH_CMD_STORE_ENV_H

#include "provider.h"

/* Each variable as a field, in locked memory. HUSH_PROTOCOL: which line is wrong, and how. */
__attribute__((warn_unused_result)) enum hush_status
hush_store_env_fields(struct hush_op *op, const struct hush_secret *text, struct hush_value *out);

#endif
