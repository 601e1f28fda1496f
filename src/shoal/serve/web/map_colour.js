/** Colours on the map: lifted on dark ground, and what text can be read on them. No DOM. */

/** @param {string} colour `#rrggbb` @returns {[number, number, number]} 0..255 */
export function channels(colour) {
  const whole = /^#[0-9a-f]{6}$/i.test(colour) ? Number.parseInt(colour.slice(1), 16) : 0x808080;
  return [whole >> 16, (whole >> 8) & 255, whole & 255];
}

/** A colour as it is shown on dark ground: mixed with white in Oklab (Ottosson, 2020), as the style sheet does with
 * `color-mix(in oklab, COLOUR 78%, white)`.
 * @param {string} colour
 * @param {number} [part] of the colour in the mix
 */
export function lifted(colour, part = 0.78) {
  const [light, a, b] = toOklab(channels(colour).map(toLinear));
  const mixed = fromOklab([light * part + (1 - part), a * part, b * part]);
  return `#${mixed.map((v) => Math.round(toByte(v)).toString(16).padStart(2, "0")).join("")}`;
}

/** Dark or white text, whichever has the greater contrast (WCAG 2).
 * @param {string} colour
 */
export function inkOn(colour) {
  const bright = luminance(colour);
  return 1.05 / (bright + 0.05) >= (bright + 0.05) / (luminance("#12252e") + 0.05) ? "#ffffff" : "#12252e";
}

/** Relative luminance (WCAG 2), 0..1.
 * @param {string} colour
 */
export function luminance(colour) {
  const [r, g, b] = channels(colour).map(toLinear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function toLinear(byte) {
  const v = byte / 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
}

function toByte(linear) {
  const v = Math.min(1, Math.max(0, linear));
  return 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055);
}

function toOklab([r, g, b]) {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromOklab([light, a, b]) {
  const l = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (light - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}
