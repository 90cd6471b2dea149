// What a checker of accessibility would look at first, as a list of what is wrong. Evaluated in the status page.
(() => {
  const wrong = [];
  const expect = (ok, what) => ok || wrong.push(what);
  const all = (selector) => [...document.querySelectorAll(selector)];

  expect(document.documentElement.lang === "en", "no language");
  expect(all("h1").length === 1, "not one h1");
  for (const landmark of ["header", "main", "footer", "nav[aria-label]"]) expect(all(landmark).length === 1, `not one ${landmark}`);
  for (const section of all("section")) {
    const heading = document.getElementById(section.getAttribute("aria-labelledby"));
    expect(heading?.tagName === "H2" && section.contains(heading), `a section without its heading: ${section.textContent.slice(0, 40)}`);
  }
  for (const table of all("table")) {
    expect(table.caption?.textContent.trim(), "a table without a caption");
    for (const th of table.querySelectorAll("th")) {
      expect(th.scope === (th.closest("thead") ? "col" : "row"), `a heading without its scope: ${th.textContent}`);
      expect(th.textContent.trim(), "an empty heading");
    }
    for (const row of table.tBodies[0].rows) expect(row.cells[0].tagName === "TH", `a row without a heading: ${row.textContent}`);
    for (const row of table.rows) expect(row.cells.length === table.tHead.rows[0].cells.length, `a row of another length: ${row.textContent}`);
  }
  for (const control of all("a, button, summary, input, select, textarea")) {
    expect((control.getAttribute("aria-label") ?? control.textContent).trim(), `a control without a name: ${control.outerHTML}`);
  }
  for (const picture of all("svg, img")) {
    expect(picture.getAttribute("aria-hidden") === "true" || picture.getAttribute("aria-label") || picture.alt, "a picture that says nothing and is not hidden");
  }
  expect(all("[role=status]").length === 1, "not one region that tells of changes");
  expect(all("[aria-live], [role=alert], [role=log]").length === 0, "more that interrupts whoever listens");
  for (const state of all("td.state, #status")) expect(/[a-z]/.test(state.textContent), "a state told by its colour alone");
  const ids = all("[id]").map((node) => node.id);
  expect(new Set(ids).size === ids.length, "an id twice");

  // Contrast (WCAG 2.2, 1.4.3): of every text that can be seen, against what is behind it.
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = parse(color).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if ((parse(color)[3] ?? 1) === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  let texts = 0;
  let least = 21;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || ["SCRIPT", "NOSCRIPT"].includes(node.tagName)) continue;
    texts++;
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(behind(node))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    least = Math.min(least, contrast);
    expect(contrast >= 4.5, `contrast ${contrast.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  expect(texts > 100, `only ${texts} texts to look at`);
  return { wrong, texts, least };
})()
