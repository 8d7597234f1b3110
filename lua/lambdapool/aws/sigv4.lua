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
---
--- Headers that signing gives may be there already. `Authorization` is not looked at. One that the
--- caller has put there is signed once, and not returned again: `X-Amz-Date` is the time, and must
--- be the same as `options.time`, when that is given; `X-Amz-Content-Sha256` stands for the hash of
--- the body, whatever it is; `X-Amz-Security-Token` must be that of the credentials, when these
--- have one. What an earlier signing has put into the same table is replaced instead: `x-amz-date`
--- and `x-amz-security-token` as keys in lower case, and so is `x-amz-content-sha256`, if it is a
--- hash and this signing gives one. In a list of { name, value } everything is the caller's.
local cloud = require "lambdapool.cloud"

---@class lambdapool.aws.SignedRequest
---@field method string? "GET" when absent
---@field path string? as it goes over the wire, any bytes; "/" when absent
---@field query string? without "?", as it goes over the wire; it may also be in the path
---@field headers table<string, string>|string[][] { [name] = value } or a list of { name, value },
---  with `host`; all are signed but those that belong to one connection or that proxies may change,
---  like user-agent
---@field body string?

--- Of each, the first name that is there counts.
---@class lambdapool.aws.Credentials
---@field access_key string or access_key_id, or aws_access_key_id
---@field secret_key string or secret_access_key, or aws_secret_access_key
---@field token string? of temporary credentials; or session_token, or aws_session_token

---@class lambdapool.aws.SignOptions
---@field region string
---@field service string as in the scope of the signature: "lambda", "iam", "s3" …
---@field time number|string? seconds since 1970, of which fractions are cut, or a text like
---  "20150830T123600Z" or "2015-08-30T12:36:00Z"; when absent that of X-Amz-Date, or now
---@field payload string? stands for the body: its SHA-256 in hex, or "UNSIGNED-PAYLOAD"
---@field normalize boolean? resolve "//", "." and ".." of the path: false for S3, else true
---@field double_encode boolean? encode the path again: false for S3, else true
---@field omit_session_token boolean? the token is sent, but not signed
---@field sign_body boolean? sign(): give x-amz-content-sha256 and sign it: true for S3, which wants
---  it, else false. The body is signed in any case.
---@field expires integer? presign(): seconds that it is good for, 900 when absent, at most a week

local native = cloud.load "sign" --[[@as table]]

local sigv4 = {}

--- Signs a request and returns the headers that have to be sent besides: `authorization`,
--- `x-amz-date`, with temporary credentials `x-amz-security-token`, and for S3 or with `sign_body`
--- `x-amz-content-sha256`. They are put into `into`, when that is given; it may be
--- `request.headers`, again and again.
---@param request lambdapool.aws.SignedRequest
---@param credentials lambdapool.aws.Credentials
---@param options lambdapool.aws.SignOptions
---@param into table<string, string>?
---@return table<string, string> headers
sigv4.sign = native.sign

--- Signs a request as a URL that works by itself until it expires, and returns its query, with the
--- parameters that it had first. Whoever uses it must send the headers that were given here, all of
--- which are signed. For S3 the body may be any, unless `payload` or X-Amz-Content-Sha256 says
--- otherwise.
---@param request lambdapool.aws.SignedRequest
---@param credentials lambdapool.aws.Credentials
---@param options lambdapool.aws.SignOptions
---@return string query
sigv4.presign = native.presign

return sigv4
