--- Where credentials are looked for, in the order of the AWS SDKs: the environment, roles and
--- tokens of the profile, what stands in it, the container, the instance.

local container = require "lambdapool.aws.credentials.container"
local dates = require "lambdapool.aws.dates"
local environment = require "lambdapool.aws.credentials.environment"
local instance = require "lambdapool.aws.credentials.instance"
local login = require "lambdapool.aws.credentials.login"
local process = require "lambdapool.aws.credentials.process"
local refusals = require "lambdapool.aws.refusal"
local role = require "lambdapool.aws.credentials.role"
local sso = require "lambdapool.aws.credentials.sso"
local static = require "lambdapool.aws.credentials.static"
local web_identity = require "lambdapool.aws.credentials.web_identity"

-- What belongs to one profile.
local IN_PROFILE = { web_identity, sso.provide, static.shared, login, process, static.config }

--- What providers see: whose credentials they look for. Each of them is a function of it that
--- returns credentials, or nil when it is not responsible, and raises when it fails.
---@class lambdapool.aws.World
---@field session lambdapool.aws.Session
---@field profile string
---@field named table<string, function> providers that `credential_source` names
---@field private places string[] where nothing was found
---@field private explicit boolean? the profile was chosen in the program: the environment is out
local methods = {}
local mt = { __index = methods }

methods.named = { Environment = environment, EcsContainer = container,
  Ec2InstanceMetadata = instance }

--- A variable of the environment that is not empty.
---@param name string
---@return string?
function methods:variable(name)
  local value = self.session.environment(name)
  return value ~= "" and value or nil
end

--- What the files say of the profile.
---@return table<string, string>
function methods:get()
  return self.session.profiles:get(self.profile)
end

--- Remembers where nothing was found. Returns nothing.
---@param place string
function methods:looked(place)
  table.insert(self.places, place)
end

local function first_of(world, providers)
  for _, provider in ipairs(providers) do
    local found = provider(world)
    if found then
      return found
    end
  end
end

-- A profile that is named has no part in what the environment says of tokens.
local function without_environment(world)
  return setmetatable({ variable = function() end }, { __index = world })
end

--- The same for another profile.
---@param profile string
---@return lambdapool.aws.World
function methods:of(profile)
  return setmetatable({ session = self.session, profile = profile, places = self.places }, mt)
end

--- The credentials that the profile has by itself.
---@return lambdapool.aws.Credentials?
function methods:in_profile()
  return first_of(without_environment(self), IN_PROFILE)
end

local function nothing(world)
  local named = world.profile ~= "default"
  error(refusals.new {
    code = "NoCredentials", exit = 4,
    message = "no AWS credentials were found",
    hint = "looked at: " .. table.concat(world.places, ", ") .. "\n" .. (named
      and ("give profile %s some with `aws configure --profile %s`"):format(world.profile,
        world.profile)
      or "choose a profile with `--profile` or AWS_PROFILE, or make one with `aws configure` " ..
        "or `aws configure sso`"),
  }, 0)
end

local function find(world)
  return not world.explicit and environment(world)
    or role.provide(world)
    or first_of(world.explicit and without_environment(world) or world, IN_PROFILE)
    or container(world)
    or instance(world)
    or nothing(world)
end

local function check(session, found)
  local late = found.expires and session:time() - found.expires
  if late and late >= 0 then
    error(refusals.new { code = "ExpiredToken", exit = 4,
      message = ("the AWS credentials from %s ended %s ago"):format(found.source,
        dates.span(late)),
      hint = "get new ones, as you got these" }, 0)
  end
  return found
end

local chain = {}

--- What finds the credentials of a session. The files are read anew each time.
---@param session lambdapool.aws.Session
---@param explicit boolean? the profile was chosen in the program
---@return fun(): lambdapool.aws.Credentials
function chain.open(session, explicit)
  return function()
    session.profiles:reload()
    local world = setmetatable({ session = session, profile = session.profile, places = {},
      explicit = explicit }, mt)
    return check(session, find(world))
  end
end

return chain
