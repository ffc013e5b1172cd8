/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/xml.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/text.h"

static struct xml_document *
document_of(const char *text)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct xml_document *document;

    if (!xml_parse(text, strlen(text), &document, &err))
        fail_msg("%s: %s", text, err->message);
    return document;
}

static void
assert_refused_sized(const char *text, size_t size)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct xml_document *document = NULL;

    if (xml_parse(text, size, &document, &err))
        fail_msg("taken: %.200s", text);
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    assert_non_null(strstr(err->data, "\"text\":\""));
    assert_null(document);
}

static void
assert_refused(const char *text)
{
    assert_refused_sized(text, strlen(text));
}

static void
finds_by_path_and_nothing_where_there_is_nothing(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = document_of(
        "<?xml version=\"1.0\"?><a x=\"1\"> <b>one</b> <c/><b>two &amp; &lt;3&gt;</b>"
        "<n>18446744073709551615</n><m>18446744073709551616</m><na>N/A</na><neg>-1</neg></a>");
    const struct xml_node *root = xml_root(document), *first = xml_child(root, "b");
    _cleanup_free_ char *attribute = xml_attribute(root, "x");
    uint64_t value = 5;

    (void)unused;
    assert_string_equal(xml_name(root), "a");
    assert_string_equal(attribute, "1");
    assert_null(xml_attribute(root, "y"));
    assert_string_equal(xml_content(first), "one");
    assert_string_equal(xml_content(xml_next(first)), "two & <3>");
    assert_null(xml_next(xml_next(first)));
    assert_string_equal(xml_name(xml_following(first)), "c");
    assert_ptr_equal(xml_first(root), first);
    assert_string_equal(xml_text(root, "c"), "");
    assert_string_equal(xml_text(root, "d"), "");
    assert_string_equal(xml_text(xml_child(xml_child(root, "d"), "e"), "f"), "");
    assert_null(xml_child(NULL, "b"));
    assert_true(xml_number(root, "n", &value));
    assert_true(value == UINT64_MAX);
    value = 5;
    assert_false(xml_number(root, "m", &value));
    assert_false(xml_number(root, "na", &value));
    assert_false(xml_number(root, "neg", &value));
    assert_false(xml_number(root, "c", &value));
    assert_int_equal(value, 5);
    assert_int_equal(xml_count(root, "na"), 0);
}

static void
character_data_is_text_and_long_text_is_one_piece(void **unused)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    (void)unused;
    text_append_string(&text, "<a><b><![CDATA[x<y]]></b><c>");
    for (int i = 0; i < 100000; i++)
        text_append_string(&text, "long &amp;");
    text_append_string(&text, "</c></a>");
    document = document_of(text.bytes);
    assert_string_equal(xml_text(xml_root(document), "b"), "x<y");
    assert_int_equal(strlen(xml_text(xml_root(document), "c")), 600000);
}

static void
refuses_what_is_cut_short_at_any_byte(void **unused)
{
    const char *whole = "<cliOutput><opRet>0</opRet><volInfo><volumes/></volInfo></cliOutput>";

    (void)unused;
    for (size_t size = 0; size < strlen(whole); size++)
        assert_refused_sized(whole, size);
    xml_free(document_of(whole));
}

static void
refuses_document_types_and_so_entities_of_all_kinds(void **unused)
{
    _cleanup_text_ struct text bomb = TEXT_INIT;

    (void)unused;
    assert_refused("<!DOCTYPE a><a/>");
    assert_refused("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>");
    assert_refused("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>");
    assert_refused("<!DOCTYPE a SYSTEM \"http://127.0.0.1:1/x.dtd\"><a/>");
    assert_refused("<a>&nosuch;</a>");
    text_append_string(&bomb, "<!DOCTYPE a [<!ENTITY e0 \"lol\">");
    for (int i = 1; i < 12; i++) {
        text_printf(&bomb, "<!ENTITY e%d \"", i);
        for (int j = 0; j < 10; j++)
            text_printf(&bomb, "&e%d;", i - 1);
        text_append_string(&bomb, "\">");
    }
    text_append_string(&bomb, "]><a>&e11;</a>");
    assert_refused(bomb.bytes);
}

static void
refuses_what_is_no_document(void **unused)
{
    _cleanup_text_ struct text deep = TEXT_INIT;

    (void)unused;
    assert_refused("");
    assert_refused("Usage: volume status");
    assert_refused("<a></b>");
    assert_refused("<a/><b/>");
    assert_refused("<a>\xff\xfe</a>");
    assert_refused_sized("<a>\0</a>", 8);
    for (int i = 0; i < 100000; i++)
        text_append_string(&deep, "<a>");
    assert_refused(deep.bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_by_path_and_nothing_where_there_is_nothing),
        cmocka_unit_test(character_data_is_text_and_long_text_is_one_piece),
        cmocka_unit_test(refuses_what_is_cut_short_at_any_byte),
        cmocka_unit_test(refuses_document_types_and_so_entities_of_all_kinds),
        cmocka_unit_test(refuses_what_is_no_document),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
