local binaries = require "lambdapool.deploy.binaries"
local elf = require "lambdapool.deploy.elf"
local files = require "lambdapool.files"
local support = require "tests.lua.deploy_support"

local root

-- Compiles a module; its bytes.
local function compile(source, flags)
  support.write(root, { ["module.c"] = source })
  support.sh("gcc -shared -fPIC -o module.so module.c " .. (flags or ""), root)
  return support.read(root .. "/module.so")
end

local function sorted(list)
  table.sort(list)
  return list
end

-- The same, as binutils say.
local function according_to_objdump(path)
  local text = support.sh("LC_ALL=C objdump -p " .. path)
  local needed, versions, seen = {}, {}, {}
  for name in text:gmatch "NEEDED%s+(%S+)" do
    needed[#needed + 1] = name
  end
  for version in (text:match "Version References:(.*)" or ""):gmatch "0x%x+ 0x%x+ %d+ (%S+)" do
    if not seen[version] then
      seen[version] = true
      versions[#versions + 1] = version
    end
  end
  return sorted(needed), sorted(versions)
end

setup(function()
  root = support.folder()
end)

teardown(function()
  files.remove(root)
end)

describe("an ELF file", function()
  it("is read as objdump reads it", function()
    local build = os.getenv "LAMBDAPOOL_BUILD"
    compile("#include <math.h>\ndouble f(double x) { return pow(x, x); }", "-lm")
    for _, path in ipairs { build .. "/lambdapool", build .. "/cloud.so", build .. "/bootstrap",
      "/bin/sh", root .. "/module.so" } do
      local needed, versions = according_to_objdump(path)
      local info = assert(elf.read(support.read(path)))
      assert.same(needed, sorted(info.needed))
      assert.same(versions, sorted(info.versions))
      assert.is_true(#needed + #versions > 0)
    end
  end)

  it("tells its machine", function()
    local bytes = compile "int x;"
    assert.equal(support.sh "uname -m", elf.read(bytes).machine .. "\n")
    for number, name in pairs { [183] = "arm64", [62] = "x86_64", [8] = "machine 8" } do
      assert.equal(name, elf.read(bytes:sub(1, 18) .. string.pack("<I2", number)
        .. bytes:sub(21)).machine)
    end
    local other_order = bytes:sub(1, 5) .. "\2" .. bytes:sub(7, 18) .. "\0\8" .. bytes:sub(21)
    assert.equal("machine 8", elf.read(other_order).machine)
  end)

  it("is not everything", function()
    for _, text in ipairs { "", "\127EL", "#!/bin/sh\n", ("x"):rep(1000) } do
      assert.is_nil(elf.read(text))
      assert.is_nil((select(2, elf.read(text))))
    end
    assert.same({ nil, "it is cut off" }, { elf.read "\127ELF" })
  end)

  it("may be cut off anywhere and broken in any way", function()
    local bytes = compile("#include <stdio.h>\nvoid f(void) { puts(\"\"); }", "-s")
    for size = 0, #bytes, 7 do
      local info, message = elf.read(bytes:sub(1, size))
      assert.is_true(info ~= nil or size < 4 or message ~= nil)
    end
    local random = 1
    for _ = 1, 3000 do
      random = (random * 1103515245 + 12345) & 0x7fffffff
      local at = (random >> 4) % #bytes + 1
      local value = random >> 8 & 255
      if random % 2 == 0 then
        at = at % 1200 + 1 -- where the tables are
      end
      elf.read(bytes:sub(1, at - 1) .. string.char(value, value) .. bytes:sub(at + 2))
    end
  end)
end)

describe("programs in a package", function()
  local native = elf.read(support.read "/bin/sh").machine
  local other = native == "arm64" and "x86_64" or "arm64"

  local function check(list, architecture, layers)
    binaries.check(list, architecture or native, layers)
  end

  local function file(name, data, mode)
    return { name = name, data = data, mode = mode or 420 }
  end

  it("are for its architecture", function()
    local bytes = compile "int x;"
    check { file("lib/a.so", bytes) }
    assert.equal(("cannot package lib/a.so: it is for %s, and the function for %s\n" ..
      "  build it for %s, or choose the other one with `--arch`"):format(native, other, other),
      support.problem(check, { file("lib/a.so", bytes) }, other))
    assert.matches("^cannot package tool: it is for",
      support.problem(check, { file("tool", bytes, 493) }, other))
    check({ file("data", bytes), file("run.sh", "#!/bin/sh", 493), file("x.so", "text") }, other)
  end)

  it("are whole", function()
    local bytes = compile "int x;"
    assert.equal("cannot package a.so: it is broken\n  build or copy it again",
      support.problem(check, { file("a.so", bytes:sub(1, 1000)) }))
    assert.equal("cannot package a.so: it is cut off\n  build or copy it again",
      support.problem(check, { file("a.so", bytes:sub(1, 30)) }))
    check { file("a.data", bytes:sub(1, 1000)) }
  end)

  it("need no newer glibc than Lambda has", function()
    local source = "#include <stdlib.h>\nint f(void) { return arc4random(); }"
    assert.equal("cannot package a.so: it needs GLIBC_2.36, and Lambda has glibc 2.34 and " ..
      "libstdc++ of GCC 11\n  build it on Amazon Linux 2023 or a system as old, such as Debian 11",
      support.problem(check, { file("a.so", compile(source)) }))
    assert.matches("it needs GLIBC_ABI_DT_RELR", support.problem(check, { file("a.so",
      compile("int x; int *p = &x;", "-Wl,-z,pack-relative-relocs")) }))
  end)

  it("need no libraries that are not there", function()
    local zlib = compile("const char *zlibVersion(void); void f(void) { zlibVersion(); }",
      "-Wl,--no-as-needed -lz")
    local message = "cannot package lib/a.so: it needs libz.so.1, which Lambda does not have\n" ..
      "  put the library beside your files or in a folder `lib`, or link it statically"
    assert.equal(message, support.problem(check, { file("lib/a.so", zlib) }))
    local plain = compile "int x;"
    assert.equal(message, support.problem(check,
      { file("lib/a.so", zlib), file("other/libz.so.1", plain) }))
    check { file("lib/a.so", zlib), file("lib/libz.so.1", plain) }
    check { file("lib/a.so", zlib), file("libz.so.1", plain) }
    check({ file("lib/a.so", zlib) }, native, true)
    local lua = compile("int x;", "-Wl,--no-as-needed -llua5.4")
    assert.matches("it is linked with liblua5%.4%.so%.0, and there the agent is Lua itself",
      support.problem(check, { file("a.so", lua) }, native, true))
  end)
end)
