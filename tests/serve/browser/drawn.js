/** Keeps what was drawn last on each canvas, for tests: `drawn(canvas)` has them in its pixels. */
(() => {
  const kept = new WeakMap();
  const of = (canvas) => {
    if (!kept.has(canvas)) kept.set(canvas, { texts: [], circles: [], lines: [], turn: 0, frames: 0 });
    return kept.get(canvas);
  };
  const proto = CanvasRenderingContext2D.prototype;
  const { clearRect, fillText, arc, lineTo } = proto;
  proto.clearRect = function (...args) {
    const { frames } = of(this.canvas);
    kept.set(this.canvas, { texts: [], circles: [], lines: [], turn: 0, frames: frames + 1 });
    return clearRect.apply(this, args);
  };
  proto.fillText = function (text, x, y, ...rest) {
    const known = of(this.canvas);
    known.texts.push({ text, x, y, turn: known.turn++ });
    return fillText.call(this, text, x, y, ...rest);
  };
  proto.arc = function (x, y, r, ...rest) {
    of(this.canvas).circles.push({ x, y, r, fill: this.fillStyle, alpha: this.globalAlpha });
    return arc.call(this, x, y, r, ...rest);
  };
  proto.lineTo = function (x, y) {
    const known = of(this.canvas);
    known.lines.push({ x, y, turn: known.turn++ });
    return lineTo.call(this, x, y);
  };
  window.drawn = of;
})();
