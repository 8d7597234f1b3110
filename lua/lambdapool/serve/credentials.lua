--- Who may sign requests: one access key with its secret, and temporary credentials that were given
--- out for roles.
---
--- Temporary credentials are kept nowhere. The session token says whose they are and until when,
--- and their secret is made from the token and the secret of the access key. Whoever can sign with
--- it was given this token, so they also outlive a restart, and a forged token is of no use.

local crypto = require "lambdapool.crypto"

---@class lambdapool.serve.Credentials
---@field access_key string
---@field secrets table<string, string> access keys and their secrets, for crypto.authenticate
---@field sessions table<string, lambdapool.serve.Session> what the temporary ones of them are
local methods = {}
local mt = { __name = "lambdapool.serve.Credentials", __index = methods }

---@class lambdapool.serve.Session
---@field access_key string
---@field token string
---@field expires integer seconds since 1970
---@field arn string of the role's session
---@field id string

-- Sessions that are looked up without another thought; those beyond are worked out again.
local MOST_KEPT = 4096

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

local credentials = {}

--- A name as AWS gives them to keys, users and roles: a prefix and random capitals and digits.
---@param prefix string
---@param length integer of the random part
---@return string
function credentials.identifier(prefix, length)
  local id = crypto.random(length):gsub(".", function(byte)
    local i = byte:byte() % #ALPHABET + 1
    return ALPHABET:sub(i, i)
  end)
  return prefix .. id
end

local function secret_of(self, token)
  return crypto.base64(crypto.hmac(self.master, token)):sub(1, 40)
end

local function remember(self, session)
  if self.kept >= MOST_KEPT then
    for access_key in pairs(self.sessions) do
      self.secrets[access_key] = nil
    end
    self.sessions, self.kept = {}, 0
  end
  self.kept = self.kept + 1
  self.sessions[session.access_key] = session
  self.secrets[session.access_key] = secret_of(self, session.token)
end

--- Makes temporary credentials.
---@param arn string of the session of a role, or of the user
---@param id string
---@param seconds integer how long they hold
---@return { access_key: string, secret_key: string, token: string, expires: integer }
function methods:issue(arn, id, seconds)
  local access_key = credentials.identifier("ASIA", 16)
  local expires = math.floor(self.now()) + seconds
  local text = string.pack("<I8sss", expires, access_key, arn, id)
  local token = crypto.base64(crypto.random(24) .. text)
  return { access_key = access_key, secret_key = secret_of(self, token), token = token,
    expires = expires }
end

local function read_token(token)
  local bytes = crypto.unbase64(token)
  if not bytes or #bytes < 24 then
    return nil
  end
  local ok, expires, access_key, arn, id = pcall(string.unpack, "<I8sss", bytes, 25)
  return ok and { expires = expires, access_key = access_key, arn = arn, id = id, token = token }
end

--- Makes it possible to verify what is signed with temporary credentials, if `token` is one of
--- theirs. When the signature is wrong then, `forget` them.
---@param access_key string
---@param token string?
---@return boolean
function methods:admit(access_key, token)
  local session = token and read_token(token)
  if not session or session.access_key ~= access_key or access_key == self.access_key then
    return false
  end
  remember(self, session)
  return true
end

---@param access_key string
function methods:forget(access_key)
  if self.sessions[access_key] then
    self.sessions[access_key], self.secrets[access_key] = nil, nil
    self.kept = self.kept - 1
  end
end

--- Whether the token that came with a request is that of its access key. Ask when the signature is
--- known to be right.
---@param access_key string
---@param token string?
---@return "ok"|"invalid"|"expired"
function methods:check_token(access_key, token)
  local session = self.sessions[access_key]
  if not session then
    return token and token ~= "" and "invalid" or "ok"
  elseif session.token ~= token then
    return "invalid"
  end
  return session.expires > self.now() and "ok" or "expired"
end

local function read_file(path)
  local file <close> = io.open(path)
  local text = file and file:read "a" or ""
  return text:match "aws_access_key_id%s*=%s*(%S+)", text:match "aws_secret_access_key%s*=%s*(%S+)"
end

-- The file must never be readable for others, not even empty.
local function write_file(path, access_key, secret_key)
  local quoted = "'" .. path:gsub("'", "'\\''") .. "'"
  local file = assert(io.popen("umask 077 && cat >" .. quoted, "w"))
  file:write(("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n")
    :format(access_key, secret_key))
  return file:close()
end

-- The key of a folder: made at random the first time, and kept there in the format of
-- ~/.aws/credentials.
local function key_of_folder(dir)
  local path = dir .. "/credentials"
  local access_key, secret_key = read_file(path)
  if not access_key or not secret_key then
    access_key = credentials.identifier("AKIA", 16)
    secret_key = crypto.base64(crypto.random(30))
    if not write_file(path, access_key, secret_key) then
      return nil, ("cannot write %s"):format(path)
    end
  end
  return access_key, secret_key
end

--- The credentials of a service: those given, or those of its folder.
---@param options { dir: string, access_key: string?, secret_key: string?, now: fun(): number }
---@return lambdapool.serve.Credentials?
---@return string? message
function credentials.open(options)
  local access_key, secret_key = options.access_key, options.secret_key
  if not access_key then
    access_key, secret_key = key_of_folder(options.dir)
    if not access_key then
      return nil, secret_key
    end
  end
  return setmetatable({
    access_key = access_key, secret_key = secret_key,
    master = crypto.hmac(secret_key, "lambdapool temporary credentials"),
    secrets = { [access_key] = secret_key }, sessions = {}, kept = 0,
    now = options.now,
  }, mt)
end

return credentials
