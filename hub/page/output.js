// The output of a run: pieces in their order, each once. Where stored pieces are not here, it says how many; who reads
// at the end goes on with it, who has scrolled back stays there.
import { el } from "./dom.js";

const CHARS = 20000; // so much of a run that streams is kept here, unless all of it was asked for
const END = 8; // pixels from the end that still are the end

export class Output {
  constructor(id) {
    this.id = id;
    this.pre = el("pre");
    this.pre.tabIndex = 0;
    this.pre.hidden = true;
    this.spans = new Map(); // by number
    this.chars = 0;
    this.first = 0; // lower numbers were taken away
    this.whole = false;
  }

  // Change what is shown. The text that is read stays where it is on the screen.
  keeping(change) {
    const { pre } = this;
    const following = pre.scrollHeight - pre.scrollTop - pre.clientHeight < END;
    const anchor = following ? null : [...this.spans.values()].filter((e) => e.offsetTop + e.offsetHeight > pre.scrollTop)
      .reduce((a, b) => (a && a.offsetTop <= b.offsetTop ? a : b), null);
    const at = anchor ? anchor.offsetTop - pre.scrollTop : 0;
    change();
    pre.hidden = !pre.hasChildNodes();
    if (following) {
      this.trim();
      pre.scrollTop = pre.scrollHeight;
    } else if (anchor && anchor.isConnected) pre.scrollTop = anchor.offsetTop - at;
  }

  add(pieces) {
    const fresh = pieces.filter((piece) => piece.seq >= this.first && !this.spans.has(piece.seq));
    if (fresh.length) this.keeping(() => fresh.forEach((piece) => this.insert(piece)));
  }

  insert({ seq, stream, text }) {
    const made = el("span", text, stream === "stderr" ? "stderr" : "");
    made.dataset.seq = seq;
    let before = this.pre.lastChild;
    while (before && !(Number(before.dataset.seq) < seq)) before = before.previousSibling;
    if (before) before.after(made);
    else this.pre.prepend(made);
    const gap = made.nextSibling;
    if (gap && gap.dataset.missing) this.count(gap, this.missing(gap));
    this.spans.set(seq, made);
    this.chars += text.length;
  }

  // The oldest pieces go when there are too many; that they are missing stays said.
  trim() {
    if (this.whole || this.chars <= CHARS) return;
    let gone = 0;
    while (this.chars > CHARS && this.spans.size > 1) {
      const oldest = this.pre.firstChild;
      if (oldest.dataset.seq === undefined) gone += this.missing(oldest);
      else {
        this.spans.delete(Number(oldest.dataset.seq));
        this.chars -= oldest.textContent.length;
        gone += 1;
      }
      oldest.remove();
    }
    const first = this.pre.querySelector("[data-seq]");
    this.first = Number(first.dataset.seq);
    this.note(gone, first);
  }

  // The hub has `stored` pieces, the newest of them in `tail`: say what of them is not here.
  reconcile(stored, tail) {
    const upTo = tail.length ? tail[tail.length - 1].seq : Infinity;
    const here = [...this.spans.keys()].filter((seq) => seq <= upTo).length;
    const behind = here < this.spans.size || !tail.length; // `tail` is older than what is here
    const gaps = [...this.pre.querySelectorAll("button")];
    const lost = stored - here - gaps.reduce((sum, gap) => sum + this.missing(gap), 0);
    if (lost > 0) {
      const after = tail.length ? [...this.pre.querySelectorAll("[data-seq]")].find((e) => Number(e.dataset.seq) >= tail[0].seq) : null;
      this.keeping(() => this.note(lost, after || null));
    } else if (lost < 0 && !behind) this.keeping(() => this.found(-lost, gaps));
  }

  // Pieces that were counted as missing are here now.
  found(count, gaps) {
    for (const gap of gaps.reverse()) {
      const less = Math.min(count, this.missing(gap));
      this.count(gap, this.missing(gap) - less);
      count -= less;
    }
  }

  missing(gap) { return Number(gap.dataset.missing); }

  // Say before this element (null: at the end) that so many pieces more are missing.
  note(count, before) {
    if (!count) return;
    let gap = before ? before.previousSibling : this.pre.lastChild;
    if (!gap || gap.dataset.seq !== undefined) {
      gap = el("button", "", "gap");
      gap.dataset.missing = 0;
      gap.addEventListener("click", () => this.load(gap));
      this.pre.insertBefore(gap, before);
    }
    this.count(gap, this.missing(gap) + count);
  }

  count(gap, missing) {
    if (!missing) { gap.remove(); return; }
    gap.dataset.missing = missing;
    const pieces = missing === 1 ? "piece" : "pieces";
    gap.textContent = `${missing} ${gap.previousSibling ? `${pieces} not shown` : `earlier ${pieces}`}: show all`;
  }

  // All that the hub has, in place.
  async load(gap) {
    gap.disabled = true;
    gap.textContent = "loading";
    try {
      const answer = await fetch(`/admin/runs/${encodeURIComponent(this.id)}`);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const { output } = await answer.json();
      this.whole = true;
      this.first = 0;
      this.keeping(() => {
        this.pre.querySelectorAll("button").forEach((e) => e.remove());
        output.filter((piece) => !this.spans.has(piece.seq))
          .forEach(({ seq, stream, data }) => this.insert({ seq, stream, text: data }));
      });
    } catch {
      gap.disabled = false;
      gap.textContent = `${this.missing(gap)} pieces could not be loaded: try again`;
    }
  }
}
