--- Messages of application/vnd.amazon.eventstream, as InvokeWithResponseStream answers with:
---
---   u32 size of all, u32 size of the headers, u32 CRC-32 of these 8 bytes,
---   headers: u8 size and bytes of the name, u8 7 (a text), u16 size and bytes of the value,
---   payload, u32 CRC-32 of all before
---
--- Numbers are big endian.
local crypto = require "lambdapool.crypto"

local TEXT = 7

-- 4 for each of the two sizes and the two checksums.
local FRAME = 16

local function header(name, value)
  return string.pack(">s1Bs2", name, TEXT, value)
end

-- What stands before the payload is the same for all messages of a kind.
local function headers(event, content_type)
  return header(":event-type", event) .. header(":content-type", content_type)
    .. header(":message-type", "event")
end

local CHUNK = headers("PayloadChunk", "application/octet-stream")
local COMPLETE = headers("InvokeComplete", "application/json")

local function message(head, payload)
  local prelude = string.pack(">I4I4", FRAME + #head + #payload, #head)
  local start = prelude .. string.pack(">I4", crypto.crc32(prelude)) .. head
  local crc = crypto.crc32(payload, crypto.crc32(start))
  return start .. payload .. string.pack(">I4", crc)
end

local eventstream = { CONTENT_TYPE = "application/vnd.amazon.eventstream" }

--- Part of the response.
---@param bytes string
---@return string
function eventstream.chunk(bytes)
  return message(CHUNK, bytes)
end

--- The last message.
---@param json string
---@return string
function eventstream.complete(json)
  return message(COMPLETE, json)
end

return eventstream
