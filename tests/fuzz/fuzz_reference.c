/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_reference.c - references: what is read is whole and within its bounds, what is refused has a
 * reason.
 */
#include "provider.h"
#include "reference.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool has_dots(const char *path)
{
    for (const char *at = path; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        const size_t size = strcspn(at, "/");
        if ((size == 1 && at[0] == '.') || (size == 2 && at[0] == '.' && at[1] == '.'))
            return true;
    }
    return false;
}

static bool is_good(const struct hush_reference *ref)
{
    for (size_t i = 0; i < ref->option_count; i++)
        if (ref->options[i].name[0] == '\0' || ref->options[i].value == NULL)
            return false;
    if (ref->key != NULL && ref->key[0] == '\0')
        return false;
    if (ref->version != NULL &&
        (ref->version[0] == '\0' || strlen(ref->version) > HUSH_VERSION_MAX))
        return false;
    return ref->prefix[0] != '\0' && strpbrk(ref->prefix, "/:@?#%") == NULL &&
           ref->resource[0] != '\0' && strlen(ref->resource) <= HUSH_PATH_MAX &&
           !has_dots(ref->resource);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hush_reference ref = {0};
    char error[160] = "";
    char *text = malloc(size + 1);

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (hush_reference_parse(text, &ref, error)) {
        if (!is_good(&ref) || !hush_reference_is(text))
            abort();
        hush_reference_clear(&ref);
    } else if (error[0] == '\0' || strlen(error) >= sizeof(error)) {
        abort();
    }
    free(text);
    return 0;
}
