// Makes sections.json: strings encoded by the IAB's own library, and the values they were made of.
// npm install @iabgpp/cmpapi@3.2.0 && node generate.js > sections.json
const lib = './node_modules/@iabgpp/cmpapi/lib/cjs/encoder/';
const {GppModel} = require(lib + 'GppModel.js');
let seed = 7;
const random = n => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return Math.floor(seed / 0x7fffffff * n * 0.999999); };
const states = ['usnat', 'usca', 'usva', 'usco', 'usut', 'usct', 'usfl', 'usmt', 'usor', 'ustx', 'usde', 'usia', 'usne', 'usnh', 'usnj', 'ustn', 'usmn', 'usmd', 'usin', 'usky', 'usri'];
const out = [];
for (let i = 0; i < 420; i++) {
  const m = new GppModel(), expect = {};
  const names = new Set([states[i % states.length]]);
  while (random(3) > 0) names.add(states[random(states.length)]);
  for (const name of names) {
    m.setFieldValue(name, 'SaleOptOut', 0);
    const fields = m.getSection(name), e = expect[name] = {};
    const first = name === 'usnat' && random(2) ? 1 : undefined;
    if (first) m.setFieldValue(name, 'Version', 1);
    for (const [key, value] of Object.entries(fields)) {
      if (/Version|SegmentType|Included/.test(key)) continue;
      if (key === 'Gpc') { if (random(2)) { e.Gpc = random(2) === 1; m.setFieldValue(name, 'GpcSegmentIncluded', true); m.setFieldValue(name, key, e.Gpc); } else m.setFieldValue(name, 'GpcSegmentIncluded', false); continue; }
      let v;
      if (Array.isArray(value)) { v = value.map(() => random(3)); if (first) v = v.slice(0, key.startsWith('Sens') ? 12 : 2); }
      else v = key === 'MspaCoveredTransaction' ? 1 + random(2) : random(3);
      e[key] = v; m.setFieldValue(name, key, v);
    }
    e.Version = first || fields.Version || fields.MspaVersion;
  }
  if (i % 10 === 3) { m.setFieldValue('uspv1', 'Notice', 'Y'); m.setFieldValue('uspv1', 'OptOutSale', 'YN-'[random(3)]); m.setFieldValue('uspv1', 'LspaCovered', 'N'); expect.uspv1 = {OptOutSale: m.getFieldValue('uspv1', 'OptOutSale')}; }
  const bits = n => Array.from({length: n}, () => random(2) === 1), set = b => b.flatMap((v, j) => v ? [j + 1] : []);
  const ids = n => [...new Set(Array.from({length: n}, () => 1 + random(900)))].sort((a, b) => a - b);
  for (const [name, a, b, va, vb] of [['tcfeuv2', 'PurposeConsents', 'PurposeLegitimateInterests', 'VendorConsents', 'VendorLegitimateInterests'], ['tcfcav1', 'PurposesExpressConsent', 'PurposesImpliedConsent', 'VendorExpressConsent', 'VendorImpliedConsent']]) {
    if (random(8)) continue;
    const p = bits(24), q = bits(24), v = ids(random(30)), w = ids(random(5)), d = ids(random(20));
    m.setFieldValue(name, 'CmpId', 880); m.setFieldValue(name, a, p); m.setFieldValue(name, b, q); m.setFieldValue(name, va, v); m.setFieldValue(name, vb, w);
    m.setFieldValue(name, name === 'tcfeuv2' ? 'VendorsDisclosed' : 'DisclosedVendors', d);
    expect[name] = {first: set(p), second: set(q), vendors: v, more: w, disclosed: d};
  }
  out.push({s: m.encode(), ids: m.getSectionIds(), expect});
}
console.log('[\n' + out.map(v => JSON.stringify(v)).join(',\n') + '\n]');
