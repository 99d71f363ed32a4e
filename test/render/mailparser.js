// Read messages with npm's mailparser and compare with what they must say.
// Usage: node mailparser.js FOLDER, as left by messages.py --write; mailparser
// is found by NODE_PATH.
const fs = require('fs');
const path = require('path');
const { simpleParser } = require('mailparser');

const folder = process.argv[2];
const wanted = JSON.parse(fs.readFileSync(path.join(folder, 'wanted.json')));
const words = text => (text || '').split(/\s+/).filter(Boolean).join(' ');
// It trims headers, and folds white space in them.
const same = (found, text) => words(found) === words(text);

async function main() {
  let wrong = 0;
  for (let n = 0; n < wanted.length; n++) {
    const raw = fs.readFileSync(path.join(folder, n + '.eml'));
    const mail = await simpleParser(raw);
    const to = mail.to.value;
    const file = mail.attachments[0];
    const checks = {
      subject: same(mail.subject, wanted[n].subject),
      name: to.length === 1 && to[0].address === 'ada@example.com' &&
        same(to[0].name, wanted[n].name),
      text: mail.text.trimEnd() === wanted[n].text.trimEnd(),
      html: mail.html.trimEnd() === '<p>é</p>',
      file: mail.attachments.length === 1 && same(file.filename, wanted[n].file) &&
        file.content.toString() === 'hello',
    };
    for (const [what, good] of Object.entries(checks)) {
      if (good) continue;
      wrong++;
      console.log('# %d %s: %j', n, what, what === 'name' ? to :
        what === 'file' ? file && file.filename : mail[what]);
      console.log('#   wanted %j', wanted[n][what]);
    }
  }
  console.log('mailparser: %d messages, %d differences', wanted.length, wrong);
  process.exit(wrong > 0 ? 1 : 0);
}
main();
