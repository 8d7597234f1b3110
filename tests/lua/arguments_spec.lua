local arguments = require "lambdapool.arguments"

local function f(one, two, three) -- only its parameters matter
  return one, two, three
end

local function merge(fn, args, kwds)
  return arguments.merge("pool:apply", fn, args, kwds, 1)
end

local function complaint(...)
  local ok, message = pcall(merge, ...)
  assert.is_false(ok)
  return message
end

describe("arguments", function()
  it("are what is given, when none has a name", function()
    local args = { 1, nil, 3, n = 4 }
    assert.equal(args, merge(f, args))
    assert.same({}, merge(f))
  end)

  it("with a name go where the parameter is", function()
    assert.same({ 1, 2, 3, n = 3 }, merge(f, { 1 }, { three = 3, two = 2 }))
    assert.same({ nil, nil, 3, n = 3 }, merge(f, nil, { three = 3 }))
    assert.same({ 1, n = 1 }, merge(f, { 1 }, {}))
    assert.same({ 1, false, n = 2 }, merge(f, { 1 }, { two = false }))
  end)

  it("leave the given tables alone", function()
    local args, kwds = { 1 }, { two = 2 }
    merge(f, args, kwds)
    assert.same({ 1 }, args)
    assert.same({ two = 2 }, kwds)
  end)

  it("count nils that are given by position", function()
    assert.same({ 1, nil, 3, n = 3 }, merge(f, { 1, nil, n = 2 }, { three = 3 }))
    assert.matches("parameter 'two' is given twice, by position and by name$",
      complaint(f, { 1, nil, n = 2 }, { two = 2 }))
  end)

  it("must have names that the function knows", function()
    assert.matches("^pool:apply: the function at .-arguments_spec.lua:3 has no parameter 'tow', " ..
      "did you mean 'two'%?$", complaint(f, nil, { tow = 1 }))
    assert.matches("has no parameter '1'$", complaint(f, nil, { 1 }))
  end)

  it("given twice are an error", function()
    assert.matches("^pool:apply: parameter 'one' is given twice", complaint(f, { 1 }, { one = 1 }))
  end)

  it("of C functions have no names", function()
    assert.matches("the parameters of C functions have no names: give 'x' by its position",
      complaint(math.abs, nil, { x = 1 }))
    assert.same({ -1 }, merge(math.abs, { -1 }))
  end)

  it("behind the parameters with a name have none", function()
    local function varargs(one, ...)
      return one, ...
    end
    assert.same({ 1, n = 1 }, merge(varargs, nil, { one = 1 }))
    assert.matches("has no parameter 'two'", complaint(varargs, { 1 }, { two = 2 }))
    assert.matches("given twice", complaint(varargs, { 1, 2, 3 }, { one = 1 }))
  end)

  it("of methods begin with self", function()
    local class = {}
    function class:method(x)
      return self, x
    end
    assert.same({ class, 1, n = 2 }, merge(class.method, { class }, { x = 1 }))
    assert.same({ class, 1, n = 2 }, merge(class.method, nil, { self = class, x = 1 }))
  end)

  it("are tables", function()
    assert.matches("the arguments must be a table, got a number", complaint(f, 1))
    assert.matches("the arguments must be a table, got a boolean", complaint(f, false))
    assert.matches("the keyword arguments must be a table, got a string", complaint(f, {}, "x"))
  end)
end)
