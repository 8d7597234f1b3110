--- The other side for specs of the HTTP client: tests/e2e/http_peer.py with its certificates.

local http = require "lambdapool.http"

local support = {}

-- A certificate authority (ca.pem), what it says about `localhost`, 127.0.0.1 (server.pem), and
-- another authority that nobody asked (other.pem).
local CERTIFICATES = [[
cd '%s' && exec 2>>log && for name in ca other; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=$name -keyout $name.key -out $name.pem
done
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server \
  -keyout server.key -out server.csr
echo subjectAltName=DNS:localhost,IP:127.0.0.1 >names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
  -extfile names -out server.crt && cat server.crt server.key >server.pem]]

---@class tests.Peer
---@field folder string
---@field plain string the beginning of its URLs
---@field tls string
---@field proxy string
local methods = {}
local mt = { __index = methods }

--- Ends it and removes its folder.
function methods:close()
  http.close()
  os.execute(("kill -9 %d"):format(self.pid))
  self.pipe:close()
  os.execute(("rm -rf '%s'"):format(self.folder))
end

--- Waits until it has closed every connection.
function methods:await_ends()
  assert(os.execute(("curl -s -m 60 -o '%s/out' %s/alone"):format(self.folder, self.plain)))
end

--- How often a request for `path` has arrived completely.
function methods:seen(path)
  http.close()
  return math.tointeger(tonumber(http.request { url = self.plain .. "/seen" .. path }.body))
end

--- Starts one.
---@return tests.Peer
function support.start()
  local name <close> = assert(io.popen "mktemp -d")
  local folder = name:read "l"
  assert(os.execute(CERTIFICATES:format(folder)))
  local command = "exec /usr/bin/python3 tests/e2e/http_peer.py '%s'"
  local pipe = assert(io.popen(command:format(folder)))
  local line = pipe:read "l"
  local pid, plain, tls, proxy = line:match "(%d+) (%d+) (%d+) (%d+)"
  return setmetatable({
    folder = folder, pipe = pipe, pid = pid,
    plain = "http://127.0.0.1:" .. plain,
    tls = "https://127.0.0.1:" .. tls,
    proxy = "http://127.0.0.1:" .. proxy,
  }, mt)
end

--- The path under which the peer answers with these bytes and then does `ending`.
function support.raw(bytes, ending)
  return "/raw/" .. support.hex(bytes) .. "/" .. (ending or "close")
end

function support.hex(bytes)
  return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

return support
