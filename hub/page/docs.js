"use strict";
// The hub's OpenAPI as a page that needs nothing from elsewhere.

function el(tag, text, cls) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (cls) made.className = cls;
  return made;
}

function kind(schema, api) {
  if (schema.$ref) return kind(api.components.schemas[schema.$ref.split("/").pop()], api);
  if (schema.anyOf) return schema.anyOf.map((one) => kind(one, api)).join(" or ");
  if (schema.enum) return schema.enum.join(" or ");
  return schema.const ?? (schema.format ? `${schema.type} (${schema.format})` : schema.type ?? "anything");
}

function field(name, schema, needed, api) {
  const made = el("li", "");
  const start = schema.default === undefined || schema.default === null ? "" : `, default ${schema.default}`;
  made.append(el("code", name), ` ${kind(schema, api)}${needed ? ", required" : start}`);
  if (schema.description) made.append(el("span", ` ${schema.description}`, "dim"));
  return made;
}

function fields(body, api) {
  const schema = body.$ref ? api.components.schemas[body.$ref.split("/").pop()] : body;
  return Object.entries(schema.properties ?? {}).map(([name, one]) =>
    field(name, one, (schema.required ?? []).includes(name), api));
}

function list(title, items) {
  if (!items.length) return [];
  const made = el("ul", "");
  made.append(...items);
  return [el("p", title, "dim"), made];
}

function operation(method, path, told, api) {
  const made = el("article", "");
  made.append(el("h3", `${method.toUpperCase()} ${path}`), el("p", told.description ?? told.summary));
  made.append(...list("Parameters", (told.parameters ?? []).map((p) =>
    field(p.name, { description: p.description, ...p.schema }, p.required, api))));
  for (const [type, content] of Object.entries(told.requestBody?.content ?? {})) {
    made.append(...list(`Body, ${type}`, fields(content.schema ?? {}, api)));
  }
  const good = told.responses["200"]?.content?.["application/json"]?.schema;
  made.append(...list("Answer", good ? fields(good, api) : []));
  made.append(el("p", told.security ? "Needs a login." : "Needs no login.", "dim"));
  return made;
}

async function start() {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("about").textContent = api.info.description.replaceAll("`", "");
  const sections = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, told] of Object.entries(methods)) {
      const tag = told.tags[0];
      if (!sections.has(tag)) {
        const section = el("section", "", "wide");
        section.append(el("h2", tag));
        sections.set(tag, section);
      }
      sections.get(tag).append(operation(method, path, told, api));
    }
  }
  document.querySelector("main").append(...sections.values());
}

start().catch(() => { document.getElementById("about").textContent = "The hub does not answer."; });
