// Judges AsyncAPI documents by AsyncAPI's own parser: node asyncapi.mjs FILE…
import { Parser } from '@asyncapi/parser';
import { ProtoBuffSchemaParser } from '@asyncapi/protobuf-schema-parser';
import { readFileSync } from 'node:fs';

// That a document is of 3.0.0 and not of the newest version is said of every one.
const expected = new Set(['asyncapi-latest-version']);

async function faults(text, source) {
  const parser = new Parser();
  parser.registerSchemaParser(ProtoBuffSchemaParser());
  const { document, diagnostics } = await parser.parse(text, { source });
  const found = diagnostics.filter((d) => !expected.has(d.code)).map((d) => `${d.code} ${d.path.join('.')} ${d.message}`);
  return { document, found };
}

let failed = false;
const fail = (text) => {
  failed = true;
  console.error(text);
};

for (const file of process.argv.slice(2)) {
  const text = readFileSync(file, 'utf8');
  const { document, found } = await faults(text, file);
  for (const fault of found) fail(`${file}: ${fault}`);
  if (!document) fail(`${file}: is no AsyncAPI document`);
  else console.log(`${file.split('/').pop()}: AsyncAPI ${document.version()}, ${document.allChannels().length} channels, ${document.allOperations().length} operations, ${document.allMessages().length} messages`);

  // One planted fault each, as a change of the document.
  const planted = {
    'a dangling reference': (d) => { Object.values(d.channels)[0].messages.x = { $ref: '#/components/messages/nowhere' }; },
    'a binding of another type': (d) => { Object.values(d.channels)[0].bindings = { kafka: { partitions: 'three', bindingVersion: '0.5.0' } }; },
    'a misspelt action': (d) => { d.operations.x = { action: 'recieve', channel: { $ref: `#/channels/${Object.keys(d.channels)[0]}` } }; },
  };
  const isProto = (m) => `${m.payload?.schemaFormat}`.startsWith('application/vnd.google.protobuf');
  if (Object.values(JSON.parse(text).components.messages).some(isProto)) {
    planted['a field without a number'] = (d) => { const m = Object.values(d.components.messages).find(isProto); m.payload.schema = m.payload.schema.replace(/ = 1;/, ' = ;'); };
  }
  for (const [name, plant] of Object.entries(planted)) {
    const d = JSON.parse(text);
    plant(d);
    const { found } = await faults(JSON.stringify(d), file);
    if (found.length === 0) fail(`${file}: ${name} is not found`);
  }
}
process.exit(failed ? 1 : 0);
