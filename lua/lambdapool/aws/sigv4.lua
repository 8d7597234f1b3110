--- AWS Signature Version 4: signs requests for any service of AWS, in a header or as a URL.
---
---     local sigv4 = require "lambdapool.aws.sigv4"
---     local headers = { host = "lambda.us-east-1.amazonaws.com" }
---     for name, value in pairs(sigv4.sign({ method = "GET", path = "/2015-03-31/functions",
---       headers = headers }, credentials, { region = "us-east-1", service = "lambda" })) do
---       headers[name] = value
---     end
---
--- What is signed must be sent as it was given here, byte for byte: path, query, headers and body.
--- The work is done in C (host/cloud/lib_sign.c), where derived keys are kept.
local cloud = require "lambdapool.cloud"

---@class lambdapool.aws.SignedRequest
---@field method string? "GET" when absent
---@field path string? as it goes over the wire; "/" when absent
---@field query string? without "?", as it goes over the wire; it may also be in the path
---@field headers table<string, string>|string[][] { [name] = value } or a list of { name, value },
---  with `host`; all are signed but those that belong to one connection or that proxies may change,
---  like user-agent. What an earlier signing added, under names in lower case, is left aside.
---@field body string?

---@class lambdapool.aws.Credentials
---@field access_key string
---@field secret_key string
---@field token string? of temporary credentials

---@class lambdapool.aws.SignOptions
---@field region string
---@field service string as in the scope of the signature: "lambda", "iam", "s3" …
---@field time number? seconds since 1970; now when absent
---@field payload string? stands for the body: its SHA-256 in hex, or "UNSIGNED-PAYLOAD"
---@field normalize boolean? resolve "//", "." and ".." of the path: false for S3, else true
---@field double_encode boolean? encode the path again: false for S3, else true
---@field omit_session_token boolean? the token is sent, but not signed
---@field sign_body boolean? sign(): false leaves x-amz-content-sha256 out
---@field expires integer? presign(): seconds that it is good for, 900 when absent, at most a week

local native = cloud.load "sign" --[[@as table]]

local sigv4 = {}

--- Signs a request and returns the headers that have to be sent besides: `authorization`,
--- `x-amz-date`, `x-amz-content-sha256` and, with temporary credentials, `x-amz-security-token`.
--- They are put into `into`, when that is given; it may be `request.headers`.
---@param request lambdapool.aws.SignedRequest
---@param credentials lambdapool.aws.Credentials
---@param options lambdapool.aws.SignOptions
---@param into table<string, string>?
---@return table<string, string> headers
sigv4.sign = native.sign

--- Signs a request as a URL that works by itself until it expires, and returns its query, with the
--- parameters that it had first. Whoever uses it must send the headers that were given here. For S3
--- the body may be any, unless `payload` says otherwise.
---@param request lambdapool.aws.SignedRequest
---@param credentials lambdapool.aws.Credentials
---@param options lambdapool.aws.SignOptions
---@return string query
sigv4.presign = native.presign

return sigv4
