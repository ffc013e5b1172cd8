/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/xml.h"

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

    if (!xml_parse("gluster", text, strlen(text), &document, &err))
        fail_msg("%s: %s", text, err->message);
    return document;
}

static void
assert_refused_sized(const char *text, size_t size)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct xml_document *document = NULL;

    if (xml_parse("gluster", text, size, &document, &err))
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

static void
what_is_written_is_escaped_and_reads_the_same(void **unused)
{
    static const char hostile[] = "a'b\"c<d>&e;]]>\tf\ng";
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_free_ char *text = NULL, *attribute = NULL;
    const struct xml_node *root;
    uint64_t value = 0;

    (void)unused;
    xml_element(writer, "domain");
    xml_attr(writer, "type", hostile);
    xml_attr(writer, "absent", NULL);
    xml_attr_number(writer, "id", UINT64_MAX);
    xml_leaf(writer, "name", hostile);
    xml_leaf(writer, "none", NULL);
    xml_leaf_number(writer, "memory", 5);
    xml_flag(writer, "target", "dev", "vda");
    xml_element(writer, "open"); /* ended by taking it */
    text = xml_writer_take(writer);
    document = document_of(text);
    root = xml_root(document);
    attribute = xml_attribute(root, "type");
    assert_string_equal(attribute, hostile);
    assert_string_equal(xml_text(root, "name"), hostile);
    assert_null(xml_child(root, "none"));
    assert_false(xml_attribute_is(root, "absent", ""));
    assert_true(xml_attribute_number(root, "id", &value));
    assert_true(value == UINT64_MAX);
    assert_false(xml_attribute_number(root, "type", &value));
    assert_int_equal(xml_count(root, "memory"), 5);
    assert_true(xml_attribute_is(xml_child(root, "target"), "dev", "vda"));
    assert_non_null(xml_child(root, "open"));
}

static void
a_copy_takes_its_namespaces_along(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *from =
        document_of("<a xmlns:h='urn:h'><m><h:note k='1'>x &amp; y</h:note></m></a>");
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_free_ char *text = NULL, *dumped = xml_dump(xml_child(xml_root(from), "m"));
    _cleanup_(xml_freep) struct xml_document *alone = document_of(dumped);

    (void)unused;
    assert_string_equal(xml_text(xml_root(alone), "note"), "x & y");
    xml_element(writer, "b");
    xml_put_copy(writer, xml_child(xml_root(from), "m"));
    text = xml_writer_take(writer);
    document = document_of(text);
    assert_string_equal(xml_text(xml_child(xml_root(document), "m"), "note"), "x & y");
    assert_non_null(strstr(text, "urn:h"));
    /* empty again */
    xml_element(writer, "c");
    free(TAKE(text));
    text = xml_writer_take(writer);
    assert_string_equal(text, "<c/>");
}

/* What is said to be fit to be written can be read again, and nothing else. */
static void
what_xml_cannot_say_is_told(void **state)
{
    static const char *const good[] = { "",         "a\t\n\r",      "\x7f",
                                        "\xc2\x85", "\xef\xbf\xbd", "\xf0\x9f\x98\x80" };
    static const char *const bad[] = { "\x01", "a\x1f", "\x0b", "\xef\xbf\xbe", "a\xef\xbf\xbf" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good) + ARRAY_COUNT(bad); i++) {
        bool fit = i < ARRAY_COUNT(good);
        const char *text = fit ? good[i] : bad[i - ARRAY_COUNT(good)];
        _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
        _cleanup_(xml_freep) struct xml_document *document = NULL;
        _cleanup_free_ char *xml = NULL;
        struct error *error = NULL;

        assert_true(xml_text_valid(text) == fit);
        xml_leaf(writer, "a", text);
        xml = xml_writer_take(writer);
        assert_true(xml_parse("test", xml, strlen(xml), &document, &error) == fit);
        if (fit)
            assert_string_equal(xml_content(xml_root(document)), text);
        error_free(error);
    }
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
        cmocka_unit_test(what_is_written_is_escaped_and_reads_the_same),
        cmocka_unit_test(a_copy_takes_its_namespaces_along),
        cmocka_unit_test(what_xml_cannot_say_is_told),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
