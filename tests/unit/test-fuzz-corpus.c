/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The corpora of tests/fuzz/, replayed without a fuzzer: what was found once stays mended.
 */
#include <config.h>

#include "tests/fuzz/fuzz-request.c"

#include <dirent.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
replay(const char *path)
{
    _cleanup_text_ struct text content = TEXT_INIT;
    FILE *file = fopen(path, "rb");
    char piece[4096];
    size_t size;

    if (!file)
        fail_msg("cannot open '%s'", path);
    while ((size = fread(piece, 1, sizeof(piece), file)) > 0)
        text_append(&content, piece, size);
    assert_int_equal(fclose(file), 0);
    LLVMFuzzerTestOneInput((const uint8_t *)content.bytes, content.length);
}

static void
every_message_of_the_corpus_is_handled_as_jansson_and_the_protocol_say(void **state)
{
    const char *source = getenv("HOSTLER_SOURCE");
    _cleanup_free_ char *folder = xprintf("%s/tests/fuzz/corpus/request", source ? source : ".");
    DIR *stream = opendir(folder);
    struct dirent *entry;
    unsigned count = 0;

    (void)state;
    if (!stream)
        fail_msg("cannot open '%s'", folder);
    while ((entry = readdir(stream))) {
        _cleanup_free_ char *path = xprintf("%s/%s", folder, entry->d_name);

        if (entry->d_name[0] == '.')
            continue;
        replay(path);
        count++;
    }
    assert_int_equal(closedir(stream), 0);
    assert_true(count >= 100);
    fake_close();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_of_the_corpus_is_handled_as_jansson_and_the_protocol_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
