/** Takes a photo of a page with the camera. */

import { brush, byTouch, find } from "./dom.js";

/** @param {(photo: Blob, name: string) => void} take @param {(words: string) => void} tell */
export function connectCamera(take, tell) {
  const camera = find("#tr-camera");
  find("#tr-photo").addEventListener("click", async () => {
    // Phones and tablets have a better camera dialog than we could make.
    if (byTouch()) return find("#tr-capture").click();
    if (!navigator.mediaDevices?.getUserMedia) {
      return tell("This browser gives no camera to this page. Take the photo with another program and choose the file.");
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment", width: { ideal: 2560 }, height: { ideal: 1920 } },
      });
      find("#tr-video").srcObject = stream;
      camera.showModal();
    } catch {
      tell("There is no camera, or it may not be used by this page. Choose a file instead.");
    }
  });
  find("#tr-shoot").addEventListener("click", () => {
    const video = find("#tr-video");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    brush(canvas).drawImage(video, 0, 0);
    canvas.toBlob((photo) => photo && take(photo, "photo.jpg"), "image/jpeg", 0.92);
    camera.close();
  });
  find("#tr-camera-close").addEventListener("click", () => camera.close());
  camera.addEventListener("close", () => {
    find("#tr-video").srcObject?.getTracks().forEach((/** @type {MediaStreamTrack} */ track) => track.stop());
    find("#tr-video").srcObject = null;
    find("#tr-photo").focus();
  });
}
