// The double in a process of its own, for measurements: what it costs must not be counted as the client's, nor wait for
// it. Settings come as one JSON argument; it tells its endpoint, and on request its counts and what they cost it, over the channel to its parent.
// "forget" empties its buckets.

import { GcsDouble } from "./double.ts";
import type { GcsDoubleOptions } from "./double.ts";
import type { BucketSettings, KmsKey } from "./bucket.ts";

interface Settings extends GcsDoubleOptions {
  buckets?: (Partial<BucketSettings> & { name: string })[];
  keys?: Record<string, KmsKey>;
}

const settings = JSON.parse(process.argv[2] ?? "{}") as Settings;
const double = await new GcsDouble(settings).listen();
for (const [name, key] of Object.entries(settings.keys ?? {})) double.keys.set(name, key);
for (const bucket of settings.buckets ?? []) double.createBucket(bucket);

let before = process.cpuUsage();
process.on("message", (message) => {
  if (message === "forget") double.forget();
  if (message === "reset") {
    double.resetCounts();
    before = process.cpuUsage();
  }
  const { user, system } = process.cpuUsage(before);
  process.send?.({ counts: double.counts, cpu: (user + system) / 1e6 });
});
process.on("disconnect", () => process.exit(0));
if (process.send) process.send({ endpoint: double.endpoint });
else console.log(double.endpoint);
