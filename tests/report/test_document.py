"""A document in both its forms: escaping, folding, differences."""

import base64

from fastreid_gdnorm.report.document import Cell, Heading, Paragraph, Pictures, Table, to_html, to_markdown

NASTY = "<script>\"a\" & 'b'</script> $x {{ 7 * 7 }}"
IN_HTML = "&lt;script&gt;&quot;a&quot; &amp; &#x27;b&#x27;&lt;/script&gt; $x {{ 7 * 7 }}"
IN_MARKDOWN = "&lt;script&gt;\"a\" &amp; 'b'&lt;/script&gt; $x {{ 7 * 7 }}"


def test_every_text_is_escaped_in_both_forms(tmp_path):
    file = tmp_path / "picture.png"
    file.write_bytes(b"no picture")
    blocks = [
        Heading(1, NASTY),
        Paragraph(NASTY),
        Paragraph(NASTY, is_warning=True),
        Table([NASTY, "value"], [[NASTY, NASTY], ["x", Cell(NASTY)], ["y", Cell(NASTY, 1.0)]], title=NASTY),
        Pictures([(file, NASTY)]),
    ]
    page, text = to_html(blocks), to_markdown(blocks)
    # the title, also in the head; 2 paragraphs, 5 in the table and its title, alt and caption
    assert page.count(IN_HTML) == 2 + 2 + 6 + 2 and text.count(IN_MARKDOWN) == 1 + 2 + 6 + 2
    assert "<script" not in page and "<script" not in text
    assert f'src="data:image/png;base64,{base64.b64encode(b"no picture").decode()}"' in page
    assert f"]({file.name})" in text


def test_cells_show_their_difference_and_bars_are_escaped():
    table = Table(["", "a|b"], [["up", Cell("3.0", 1.0)], ["down", Cell("2.0", -0.5)], ["same", Cell("1.0", 0.0)]])
    page, text = to_html([Heading(1, "Title"), table]), to_markdown([Heading(1, "Title"), table])
    for kind, value, delta in ("up", "3.0", "+1.0"), ("down", "2.0", "-0.5"), ("same", "1.0", "+0.0"):
        assert f'{kind}</th><td class="number">{value} <span class="{kind}">{delta}</span></td>' in page
        assert f"{value} ({delta})" in text
    assert "a\\|b" in text and "a|b" in page


def test_code_is_marked_and_a_table_with_a_title_is_folded():
    blocks = [Heading(1, "Title"), Paragraph("Call `a < b`."), Table(["x"], [["1"]], title="Numbers")]
    page, text = to_html(blocks), to_markdown(blocks)
    assert "<p>Call <code>a &lt; b</code>.</p>" in page and "\n\nCall `a &lt; b`.\n\n" in text
    assert "<details>\n<summary>Numbers</summary>\n" in page and "<details><summary>Numbers</summary>\n\n|" in text
