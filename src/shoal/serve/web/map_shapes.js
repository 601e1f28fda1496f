/** Small shapes drawn onto a canvas: discs, rings, crosses, arrow heads, stars. */

export function circle(ctx, x, y, r, colour) {
  ctx.beginPath();
  ctx.arc(x, y, Math.max(0, r), 0, 7);
  ctx.fillStyle = colour;
  ctx.fill();
}

export function ring(ctx, x, y, r, colour, width, alpha) {
  const before = ctx.globalAlpha;
  ctx.globalAlpha = alpha;
  ctx.beginPath();
  ctx.arc(x, y, Math.max(0, r), 0, 7);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
  ctx.globalAlpha = before;
}

export function line(ctx, x, y, toX, toY, colour, width) {
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(toX, toY);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}

export function cross(ctx, x, y, r, colour, width) {
  line(ctx, x - r, y - r, x + r, y + r, colour, width);
  line(ctx, x - r, y + r, x + r, y - r, colour, width);
}

export function arrowHead(ctx, [x, y], angle, size, colour) {
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(angle);
  ctx.beginPath();
  ctx.moveTo(0, 0);
  ctx.lineTo(-size * 1.6, -size);
  ctx.lineTo(-size * 1.6, size);
  ctx.closePath();
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.restore();
}

export function star(ctx, x, y, r, colour) {
  ctx.beginPath();
  for (let i = 0; i < 10; i++) {
    const far = i % 2 ? r * 0.45 : r;
    ctx.lineTo(x + far * Math.sin((i * Math.PI) / 5), y - far * Math.cos((i * Math.PI) / 5));
  }
  ctx.closePath();
  ctx.fillStyle = colour;
  ctx.fill();
}
