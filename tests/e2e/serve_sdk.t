#!/usr/bin/env node
// Drives `lambdapool serve` with the AWS SDK for JavaScript: the operations of Lambda, streamed
// answers, roles and logs. Prints TAP. The SDK is in $LAMBDAPOOL_BUILD/npm (`make npm`).
"use strict";

const assert = require("node:assert/strict");
const { execFileSync, spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { createRequire } = require("node:module");

const build = process.env.LAMBDAPOOL_BUILD;
const sdk = createRequire(path.join(build, "npm", "package.json"));
const lambda = sdk("@aws-sdk/client-lambda");
const iam = sdk("@aws-sdk/client-iam");
const sts = sdk("@aws-sdk/client-sts");
const logs = sdk("@aws-sdk/client-cloudwatch-logs");

const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };
const role = "arn:aws:iam::123456789012:role/lp";

const app = `
local app = {}
function app.echo(event) return event end
function app.fail() error "no such luck" end
return app
`;

// A runtime of somebody else: streams three pieces, or breaks off after one.
const streaming = `#!/usr/bin/python3
import base64, http.client, json, os
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = connection.getresponse()
    event = json.loads(answer.read())
    name = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    connection.putrequest("POST", "/2018-06-01/runtime/invocation/" + name + "/response")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")
    connection.endheaders()
    for text in event["texts"]:
        connection.send(b"%x\\r\\n%s\\r\\n" % (len(text.encode()), text.encode()))
    connection.send(b"0\\r\\n")
    if event.get("fail"):
        body = json.dumps({"errorMessage": "broke off", "errorType": "Broken"}).encode()
        connection.send(b"Lambda-Runtime-Function-Error-Type: Function.Broken\\r\\n")
        connection.send(b"Lambda-Runtime-Function-Error-Body: " + base64.b64encode(body) + b"\\r\\n")
    connection.send(b"\\r\\n")
    connection.getresponse().read()
`;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "serve-"));

function zip(name, files) {
  const place = path.join(folder, name);
  fs.mkdirSync(place);
  for (const [file, text] of Object.entries(files)) {
    fs.writeFileSync(path.join(place, file), text, { mode: 0o755 });
  }
  execFileSync("zip", ["-qr", `../${name}.zip`, "."], { cwd: place });
  return fs.readFileSync(path.join(folder, name + ".zip"));
}

function start() {
  const args = ["serve", "--port", "0", "--dir", path.join(folder, "data"), "--access-key",
    credentials.accessKeyId, "--secret-key", credentials.secretAccessKey, "--concurrency", "120"];
  const child = spawn(path.join(build, "lambdapool"), args, { stdio: ["ignore", "ignore", "pipe"] });
  return new Promise((resolve, reject) => {
    let text = "";
    child.on("exit", () => reject(new Error("the server has ended: " + text)));
    child.stderr.on("data", (data) => {
      text = (text + data).slice(-100000);
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(text);
      if (found) resolve({ child, url: found[0] });
    });
  });
}

const tests = {};
let clients;

function send(client, Command, input) {
  return clients[client].send(new Command(input || {}));
}

const call = (Command, input) => send("lambda", Command, input);

async function create(name, ZipFile, Handler = "app.echo", more = {}) {
  await call(lambda.CreateFunctionCommand, { FunctionName: name, Runtime: "provided.al2023",
    Role: role, Handler, Code: { ZipFile }, Timeout: 20, ...more });
  await lambda.waitUntilFunctionActiveV2({ client: clients.lambda, maxWaitTime: 60, minDelay: 0.05,
    maxDelay: 0.1 }, { FunctionName: name });
}

async function invoke(name, event, more = {}) {
  const answer = await call(lambda.InvokeCommand,
    { FunctionName: name, Payload: JSON.stringify(event), ...more });
  return [JSON.parse(Buffer.from(answer.Payload).toString() || "null"), answer];
}

async function refused(name, status, promise) {
  const error = await promise.then(() => null, (e) => e);
  assert.equal(error?.name, name);
  assert.equal(error.$metadata.httpStatusCode, status);
  return error;
}

let packaged;

tests["creates, lists, updates and deletes functions"] = async () => {
  await create("basic", packaged, "app.echo", { Tags: { a: "b" } });
  const got = await call(lambda.GetFunctionCommand, { FunctionName: "basic" });
  assert.equal(got.Configuration.State, "Active");
  assert.deepEqual(got.Tags, { a: "b" });
  const code = await fetch(got.Code.Location);
  assert.deepEqual(Buffer.from(await code.arrayBuffer()), packaged);
  const listed = await call(lambda.ListFunctionsCommand);
  assert.deepEqual(listed.Functions.map((f) => f.FunctionName), ["basic"]);
  await call(lambda.UpdateFunctionConfigurationCommand, { FunctionName: "basic", MemorySize: 512 });
  await lambda.waitUntilFunctionUpdatedV2({ client: clients.lambda, maxWaitTime: 60,
    minDelay: 0.05, maxDelay: 0.1 }, { FunctionName: "basic" });
  await call(lambda.DeleteFunctionCommand, { FunctionName: "basic" });
  await refused("ResourceNotFoundException", 404,
    call(lambda.GetFunctionCommand, { FunctionName: "basic" }));
};

tests["invokes"] = async () => {
  await create("called", packaged);
  for (const event of [{}, [1, 2], "\u20ac", 1.5, { a: { b: null } }]) {
    const [result, answer] = await invoke("called", event);
    assert.deepEqual(result, event);
    assert.equal(answer.StatusCode, 200);
    assert.equal(answer.FunctionError, undefined);
  }
  const [, tail] = await invoke("called", {}, { LogType: "Tail" });
  assert.match(Buffer.from(tail.LogResult, "base64").toString(), /^START RequestId.*REPORT/s);
  const event = await call(lambda.InvokeCommand,
    { FunctionName: "called", InvocationType: "Event", Payload: "{}" });
  assert.equal(event.StatusCode, 202);
  const dry = await call(lambda.InvokeCommand,
    { FunctionName: "called", InvocationType: "DryRun" });
  assert.equal(dry.StatusCode, 204);
  await refused("InvalidRequestContentException", 400,
    call(lambda.InvokeCommand, { FunctionName: "called", Payload: "{" }));
  await call(lambda.DeleteFunctionCommand, { FunctionName: "called" });
};

tests["invokes a hundred at a time"] = async () => {
  await create("many", packaged);
  const results = await Promise.all(Array.from({ length: 100 }, (_, i) => invoke("many", { i })));
  assert.deepEqual(results.map(([event]) => event.i), Array.from({ length: 100 }, (_, i) => i));
  await call(lambda.DeleteFunctionCommand, { FunctionName: "many" });
};

tests["tells functions' errors"] = async () => {
  await create("failing", packaged, "app.fail");
  const [result, answer] = await invoke("failing", {});
  assert.equal(answer.FunctionError, "Unhandled");
  assert.match(result.errorMessage, /no such luck/);
  await call(lambda.DeleteFunctionCommand, { FunctionName: "failing" });
};

tests["streams"] = async () => {
  await create("streaming", zip("streaming", { bootstrap: streaming }), "h");
  const read = async (event) => {
    const answer = await call(lambda.InvokeWithResponseStreamCommand,
      { FunctionName: "streaming", Payload: JSON.stringify(event), LogType: "Tail" });
    let text = "", end;
    for await (const part of answer.EventStream) {
      if (part.PayloadChunk) text += Buffer.from(part.PayloadChunk.Payload).toString();
      if (part.InvokeComplete) end = part.InvokeComplete;
    }
    return [text, end];
  };
  let [text, end] = await read({ texts: ["one ", "two ", "three"] });
  assert.equal(text, "one two three");
  assert.equal(end.ErrorCode, undefined);
  assert.match(Buffer.from(end.LogResult, "base64").toString(), /REPORT/);
  [text, end] = await read({ texts: ["one "], fail: true });
  assert.equal(text, "one ");
  assert.equal(end.ErrorCode, "Unhandled");
  assert.match(end.ErrorDetails, /broke off/);
  const plain = await call(lambda.InvokeCommand,
    { FunctionName: "streaming", Payload: '{"texts":["a","b"]}' });
  assert.equal(Buffer.from(plain.Payload).toString(), "ab");
  await call(lambda.DeleteFunctionCommand, { FunctionName: "streaming" });
  await create("buffered", packaged);
  const answer = await call(lambda.InvokeWithResponseStreamCommand,
    { FunctionName: "buffered", Payload: '{"x":1}' });
  text = "";
  for await (const part of answer.EventStream) {
    if (part.PayloadChunk) text += Buffer.from(part.PayloadChunk.Payload).toString();
  }
  assert.deepEqual(JSON.parse(text), { x: 1 });
  await call(lambda.DeleteFunctionCommand, { FunctionName: "buffered" });
};

tests["publishes versions, aliases and layers"] = async () => {
  await create("versioned", packaged);
  const one = await call(lambda.PublishVersionCommand, { FunctionName: "versioned" });
  assert.equal(one.Version, "1");
  await call(lambda.CreateAliasCommand,
    { FunctionName: "versioned", Name: "live", FunctionVersion: "1" });
  const [, answer] = await invoke("versioned", {}, { Qualifier: "live" });
  assert.equal(answer.ExecutedVersion, "1");
  const layer = await call(lambda.PublishLayerVersionCommand,
    { LayerName: "l", Content: { ZipFile: zip("layer", { "x.txt": "x" }) } });
  assert.equal(layer.Version, 1);
  const listed = await call(lambda.ListLayersCommand);
  assert.equal(listed.Layers[0].LayerName, "l");
  await call(lambda.DeleteLayerVersionCommand, { LayerName: "l", VersionNumber: 1 });
  const arn = "arn:aws:lambda:us-east-1:123456789012:function:versioned";
  await call(lambda.TagResourceCommand, { Resource: arn, Tags: { k: "v" } });
  assert.deepEqual((await call(lambda.ListTagsCommand, { Resource: arn })).Tags, { k: "v" });
  await call(lambda.UntagResourceCommand, { Resource: arn, TagKeys: ["k"] });
  await call(lambda.DeleteFunctionCommand, { FunctionName: "versioned" });
};

tests["throttles, and the SDK waits and tries again"] = async () => {
  await create("narrow", packaged);
  await call(lambda.PutFunctionConcurrencyCommand,
    { FunctionName: "narrow", ReservedConcurrentExecutions: 0 });
  const error = await refused("TooManyRequestsException", 429,
    call(lambda.InvokeCommand, { FunctionName: "narrow" }));
  assert.equal(error.$metadata.attempts, 2);
  assert.equal(error.Reason, "ReservedFunctionConcurrentInvocationLimitExceeded");
  await call(lambda.DeleteFunctionConcurrencyCommand, { FunctionName: "narrow" });
  assert.deepEqual((await invoke("narrow", [1]))[0], [1]);
  await call(lambda.DeleteFunctionCommand, { FunctionName: "narrow" });
};

tests["answers for roles, identities and logs"] = async () => {
  const trust = JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow",
    Principal: { Service: "lambda.amazonaws.com" }, Action: "sts:AssumeRole" }] });
  const made = await send("iam", iam.CreateRoleCommand,
    { RoleName: "js", AssumeRolePolicyDocument: trust,
      Description: "a <b> & c" });
  assert.equal(made.Role.Description, "a <b> & c");
  await send("iam", iam.DeleteRoleCommand, { RoleName: made.Role.RoleName });
  await refused("NoSuchEntityException", 404,
    send("iam", iam.GetRoleCommand, { RoleName: made.Role.RoleName }));
  const me = await send("sts", sts.GetCallerIdentityCommand);
  assert.equal(me.Account, "123456789012");
  await send("logs", logs.CreateLogGroupCommand, { logGroupName: "g" });
  const groups = await send("logs", logs.DescribeLogGroupsCommand, { logGroupNamePrefix: "g" });
  assert.deepEqual(groups.logGroups.map((group) => group.logGroupName), ["g"]);
  await send("logs", logs.DeleteLogGroupCommand, { logGroupName: "g" });
};

async function main() {
  packaged = zip("app", { bootstrap: fs.readFileSync(path.join(build, "bootstrap")),
    "app.lua": app });
  const { child, url } = await start();
  const config = { endpoint: url, region: "us-east-1", credentials, maxAttempts: 2 };
  clients = { lambda: new lambda.LambdaClient(config), iam: new iam.IAMClient(config),
    sts: new sts.STSClient(config), logs: new logs.CloudWatchLogsClient(config) };
  const names = Object.keys(tests);
  let failed = 0;
  console.log(`1..${names.length}`);
  for (const [i, name] of names.entries()) {
    const failure = await tests[name]().then(() => null, (e) => e);
    console.log(`${failure ? "not ok" : "ok"} ${i + 1} - the AWS SDK for JavaScript ${name}`);
    if (failure) {
      failed++;
      console.log(String(failure.stack).replace(/^/gm, "# "));
    }
  }
  Object.values(clients).forEach((client) => client.destroy());
  child.removeAllListeners("exit");
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  await ended;
  fs.rmSync(folder, { recursive: true, force: true });
  process.exit(failed > 0 ? 1 : 0);
}

main();
