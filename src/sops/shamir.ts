// Shamir's secret sharing over GF(2^8) with the polynomial 0x11B: a share is the bytes of the values of one polynomial for each
// byte of the secret, and at the end the place they were taken at. Implements docs/formats/sops.md#key-groups.

/** a·b. Takes the same steps whatever the values are. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product = ((product << 1) ^ (-(product >> 7) & 0x11b)) & 0xff;
    product ^= -((b >> bit) & 1) & a;
  }
  return product;
}

/** 1/a = a^254. */
function inverse(a: number): number {
  let power = 1;
  for (let i = 0; i < 254; i++) power = multiply(power, a);
  return power;
}

/** The secret of `shares`; undefined when they do not belong together. Too few of them give a wrong one: nothing tells. */
export function combineShares(shares: readonly Uint8Array[]): Uint8Array | undefined {
  const length = shares[0]?.length ?? 0;
  const places = shares.map((share) => share.at(-1)!);
  if (shares.length < 2 || length < 2 || shares.some((share) => share.length !== length)) {
    return undefined;
  }
  if (new Set(places).size !== places.length || places.includes(0)) return undefined;
  const secret = new Uint8Array(length - 1);
  for (const [i, share] of shares.entries()) {
    // Lagrange's basis at 0.
    let basis = 1;
    for (const [j, place] of places.entries()) {
      if (j !== i) basis = multiply(basis, multiply(place, inverse(place ^ places[i]!)));
    }
    for (let at = 0; at < secret.length; at++) secret[at]! ^= multiply(share[at]!, basis);
  }
  return secret;
}

/** `count` shares of `secret`, any `threshold` of which give it back. */
export function splitSecret(
  secret: Uint8Array,
  { count, threshold }: { count: number; threshold: number },
  random: (length: number) => Uint8Array,
): Uint8Array[] {
  if (threshold < 2 || threshold > count || count > 255) throw new RangeError("no such threshold");
  const coefficients = Array.from({ length: threshold - 1 }, () => random(secret.length));
  return Array.from({ length: count }, (_, index) => {
    const place = index + 1;
    const share = new Uint8Array(secret.length + 1);
    share[secret.length] = place;
    for (let at = 0; at < secret.length; at++) {
      const value = coefficients.reduceRight((sum, row) => multiply(sum ^ row[at]!, place), 0);
      share[at] = value ^ secret[at]!;
    }
    return share;
  });
}
