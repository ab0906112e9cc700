import { after, before, suite } from "node:test";
import { peer } from "../../test/peers.ts";
import { testContext } from "../../test/s3/context.ts";
import { startVersitygw } from "../../test/s3/versitygw.ts";
import type { S3Server } from "../../test/s3/versitygw.ts";
import { storageConformance } from "./conformance.ts";
import { openS3Storage } from "./s3.ts";
import type { S3Options } from "./s3.ts";

const { skip } = peer("versitygw");

void suite("versitygw", { skip }, () => {
  let server: S3Server;
  before(async () => {
    server = await startVersitygw();
  });
  after(() => server.stop());

  const optionsOf = (bucket: string, fields: Partial<S3Options> = {}): S3Options => ({
    bucket,
    prefix: "",
    endpoint: server.endpoint,
    credentials: {
      kind: "keys",
      accessKeyId: server.accessKeyId,
      secretAccessKey: server.secretAccessKey,
    },
    ...fields,
  });

  storageConformance("s3 on versitygw", async () => {
    const options = optionsOf(server.makeBucket(), { prefix: "file store/" });
    const open = () => openS3Storage(options, testContext());
    return { storage: await open(), cleanup: () => Promise.resolve(), reopen: open };
  });
});
