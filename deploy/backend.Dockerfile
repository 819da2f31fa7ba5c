# A container of this project's gRPC services, to try functions against them: docs/deploy.md, A backend of your own.
FROM node:24-slim
WORKDIR /app
COPY package.json package-lock.json ./
COPY tools/node tools/node
RUN npm ci --ignore-scripts
COPY src/node-version.js src/node-version.js
COPY src/gen src/gen
COPY local local
USER node
CMD ["node", "local/backend-main.ts"]
