--- The code of functions and layers: from what a client sends to a zip in the store.

local archive = require "lambdapool.archive"
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"

local code = {}

--- A zip that is sent with a request.
code.LARGEST_ZIP = 52428800

--- A function and its layers together, unpacked.
code.LARGEST = 262144000

local PROBLEMS = {
  invalid = "Could not unzip uploaded file. Please check your file, then try to upload again.",
  unsafe = "Could not unzip uploaded file. Please check your file, then try to upload again.",
  too_large = ("Unzipped size must be smaller than %d bytes"):format(code.LARGEST),
}

-- There is no S3 here, and no registry of images: whatever is named does not exist.
local function refuse_foreign(source)
  if source.ImageUri then
    fault.invalid("Source image %s does not exist. Provide a valid source image.", source.ImageUri)
  elseif source.S3Bucket and source.S3Key then
    fault.invalid("Error occurred while GetObject. S3 Error Code: NoSuchBucket. " ..
      "S3 Error Message: The specified bucket does not exist")
  elseif source.S3Bucket or source.S3Key then
    fault.invalid("Please provide both S3Bucket and S3Key.")
  end
end

local function check_zip(bytes)
  if #bytes > code.LARGEST_ZIP then
    fault(413, "RequestEntityTooLargeException",
      ("Zipped size must be smaller than %d bytes"):format(code.LARGEST_ZIP))
  end
  local facts, problem, message = archive.check(bytes, { unzipped = code.LARGEST })
  if not facts then
    fault.invalid(PROBLEMS[problem] or error(message, 0))
  elseif facts.entries == 0 then
    fault.invalid("Uploaded file must be a non-empty zip")
  end
  return facts
end

local function unpack_zip(source)
  if source.ZipFile == "" then
    fault.invalid("Uploaded file must be a non-empty zip")
  end
  local bytes = crypto.unbase64(source.ZipFile)
  if not bytes then
    fault.invalid(PROBLEMS.invalid)
  end
  return bytes, check_zip(bytes)
end

---@class lambdapool.serve.Code
---@field hash string the name of the zip in the store; nil for a dry run
---@field digest string
---@field size integer
---@field unzipped integer

--- Takes the code that a client sent into the store; a dry run only checks it.
---@param service table
---@param source { ZipFile: string?, S3Bucket: string?, S3Key: string?, ImageUri: string? }
---@param dry boolean?
---@return lambdapool.serve.Code
function code.take(service, source, dry)
  if not source.ZipFile then
    refuse_foreign(source)
    fault.invalid("Please provide a source for function code.")
  end
  local bytes, facts = unpack_zip(source)
  if dry then
    return { digest = crypto.sha256_base64(bytes), size = #bytes, unzipped = facts.unzipped }
  end
  local hash, digest, size = service.store.blobs:put(bytes)
  service.store:use(hash, service.now())
  return { hash = hash, digest = digest, size = size, unzipped = facts.unzipped }
end

--- Where a client gets the zip: an address that is signed for a while.
---@param context table
---@param hash string
---@return string
function code.location(context, hash)
  local path = "/_lambdapool/code/" .. hash
  return context.presign and context.presign(path) or context.service.url .. path
end

return code
