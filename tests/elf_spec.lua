--- The agent as a file: it has to start on AWS Lambda's machine (glibc 2.34), stay small, and take
--- C modules.
local build = os.getenv "LAMBDAPOOL_BUILD"
local bootstrap = build .. "/bootstrap"

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  local text = pipe:read "a"
  assert(pipe:close(), command)
  return text
end

local headers = output_of("objdump -p " .. bootstrap)

describe("bootstrap", function()
  it("needs libc and libm only", function()
    for name in headers:gmatch "NEEDED%s+(%S+)" do
      assert.is_truthy(name == "libc.so.6" or name == "libm.so.6", name)
    end
  end)

  it("needs no glibc newer than 2.34", function()
    local versions = 0
    for name in headers:gmatch "GLIBC_(%S+)" do
      local major, minor = name:match "^(%d+)%.(%d+)"
      assert.is_truthy(major == "2" and tonumber(minor) <= 34, name)
      versions = versions + 1
    end
    assert.is_true(versions > 0)
    assert.is_nil(headers:find("DT_RELR", 1, true))
  end)

  -- libc's own variables (`B stderr@GLIBC_2.2.5`) live in the program that uses them.
  it("exports the whole Lua API, malloc and its kin, and nothing else", function()
    local symbols = output_of("nm -D --defined-only " .. bootstrap)
    local exported, kin = {}, { malloc = true, calloc = true, realloc = true, memalign = true,
      aligned_alloc = true, posix_memalign = true }
    for name in symbols:gmatch "%x+ %a ([%w_]+)\n" do
      assert.is_truthy(name:find "^lua" or kin[name], name)
      exported[name] = true
    end
    for _, name in ipairs { "lua_callk", "lua_rawsetp", "luaL_checklstring", "luaopen_utf8" } do
      assert.is_truthy(exported[name], name)
    end
  end)

  it("makes a zip of at most 0.6 MB", function()
    local zip = os.tmpname()
    os.remove(zip)
    output_of("zip -q -9 -j " .. zip .. ".zip " .. bootstrap)
    local file <close> = assert(io.open(zip .. ".zip"))
    assert.is_true(file:seek "end" <= 600000)
    os.remove(zip .. ".zip")
  end)
end)

describe("a C module", function()
  local source, module = os.tmpname(), os.tmpname()

  setup(function()
    local file <close> = assert(io.open(source, "w"))
    file:write [[
      #include <lauxlib.h>
      static int answer(lua_State *L) { lua_pushinteger(L, luaL_checkinteger(L, 1) * 2); return 1; }
      int luaopen_probe(lua_State *L) { lua_pushcfunction(L, answer); return 1; }
    ]]
    file:close()
    output_of("gcc -shared -fPIC -x c -I/usr/include/lua5.4 -o " .. module .. " " .. source)
  end)

  teardown(function()
    os.remove(source)
    os.remove(module)
  end)

  it("loads in the host", function()
    assert.equal(42, assert(package.loadlib(module, "luaopen_probe"))()(21))
  end)

  it("loads in the agent", function()
    local pool <close> = require "lambdapool".pool { workers = 1 }
    assert.equal(42, pool:apply(function()
      return assert(package.loadlib(module, "luaopen_probe"))()(21)
    end))
  end)
end)
