"use strict";
const make = (tag, text, props) => Object.assign(document.createElement(tag), text === undefined ? {} : { textContent: text }, props || {});

function example(operation) {
  const body = operation.requestBody;
  return body ? Object.values(body.content["application/json"].examples)[0].value : null;
}

function curl(method, path, body) {
  const lines = [`curl ${location.origin}${path}`];
  if (body) lines.push(`  -H 'content-type: application/json'`, `  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
  else if (method !== "get") lines.push(`  -X ${method.toUpperCase()}`);
  return lines.join(" \\\n");
}

(async () => {
  const key = sessionStorage.getItem("key");
  const answer = await fetch("/openapi.json", { headers: key ? { "x-api-key": key } : {} });
  const doc = await answer.json();
  if (!answer.ok) throw new Error(doc.error);
  document.getElementById("title").textContent = doc.info.title;
  document.getElementById("subtitle").textContent = doc.info.description;
  for (const [path, methods] of Object.entries(doc.paths)) for (const [method, operation] of Object.entries(methods)) {
    const box = make("section", undefined, { className: "wide" });
    box.append(make("h2", `${method.toUpperCase()} ${path}`), make("p", operation.summary), make("pre", curl(method, path, example(operation))));
    const list = make("dl");
    for (const [status, told] of Object.entries(operation.responses)) list.append(make("dt", status), make("dd", told.description));
    box.append(list);
    document.getElementById("operations").append(box);
  }
})().catch((error) => { document.getElementById("subtitle").textContent = error.message; });
